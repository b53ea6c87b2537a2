"""`make capacity`: how much a gateway carries on this machine, and how many of everything a wished-for size needs."""
