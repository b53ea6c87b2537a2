"""Passwords that are tried first, by NIST SP 800-63B section 5.1.1.2: common, repetitive, sequential, or known by context."""

from __future__ import annotations

import re

_WORDS = """
    11223344 1122334455 12344321 123456789a 12345qwert 1234qwer 123qweasd 147258369 1q2w3e4r 1qaz2wsx 1qazxsw2
    789456123 a1b2c3d4 abc abc123 access admin administrator andrew angel anthony asdf asdfasdf ashley babygirl
    baseball batman blink bubbles butterfly changeit changeme charlie cheese chelsea chocolate computer consumer
    correcthorsebatterystaple daniel default diamond donald dragon dragonball facebook flower football fortnite
    freedom friends fuckyou fuckyou2 gfhjkm ginger google guest guitar hallo hannah hello helloworld hunter iloveu
    iloveyou internet jasmine jennifer jessica jordan joshua killer letmein letmeinnow letmeout liverpool login
    lovely loveme maggie manchester master matrix matthew maverick mercedes michael michelle minecraft monkey
    mustang mypassword newpassword nicole nintendo nothing openline pa55word pass pass1word passphrase passw
    password passwords passwort patrick pepper pokemon princess purple q1w2e3r4 q1w2e3r4t5 qazwsx qazwsxedc qwe123
    qwer1234 ranger richard robert root rootroot samantha samsung secret security server service shadow snoopy
    soccer sommer starfish starwars success summer sunshine superman superstar superuser swordfish taylor temp
    temporary test testing testtest thomas thunder toor trustme trustno user username victoria welcome
    whatever william winter zaq12wsx zaq1zaq1
"""

_COMMON = frozenset(_WORDS.split())
"""Words that guessers try with digits and signs around them; a small part of what leaks have shown."""

_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "azertyuiop",
         "asdfghjkl", "zxcvbnm", "yxcvbnm", "qwertyuiopasdfghjklzxcvbnm", "1234567890qwertyuiop")  # fmt: skip
REPEATED = r"^([\s\S]{1,4})\1+[\s\S]{0,3}$"
"""A few characters again and again, as JSON Schema and Python both write it."""

_SHORTEST_NAME = 3
_OWN_PART = 4
"""Letters that must be left without the user's name."""

_ADDED = 8
"""Characters around a word that do not make it better; with more a random password would be taken for a weak one."""

_SIGNS = str.maketrans("@4013$57!", "aaoiessti")


def reason(password: str, username: str) -> str | None:
    """What is wrong with a password, to be read behind "the password"; None when nothing is."""
    folded = password.casefold()
    if re.search(REPEATED, password) or re.search(REPEATED, folded):
        return "repeats a few characters"
    cores = _cores(folded)
    if any(core in row or core[::-1] in row for core in cores for row in _ROWS):
        return "is a row of the keyboard, of the alphabet or of digits, with little around it"
    if _is_name(folded, username.casefold()):
        return "is hardly more than the username"
    if cores & _COMMON:
        return "is among those that are tried first, or one of them with digits or signs around it"
    return None


def _is_name(text: str, name: str) -> bool:
    for known in {name, name[::-1], *re.split(r"[._-]+", name)}:
        if len(known) >= _SHORTEST_NAME and any(map(str.isalpha, known)) and known in text:
            rest = text.replace(known, "")
            if len(rest) <= _ADDED and len(re.sub(r"[\W\d_]", "", rest)) < _OWN_PART:
                return True
    return False


def _cores(text: str) -> set[str]:
    """The text as it is, and what is left of it without additions at its ends and without signs for letters."""
    bare = text.strip("0123456789!?.,;:#*+-_@$%&/() ")
    plain = text.translate(_SIGNS)
    letters = re.sub(r"[\W\d_]", "", plain)
    found = {text, bare, plain, bare.translate(_SIGNS), plain.strip("!?.,;:#*+-_ "), letters}
    return {core for core in found if len(core) >= max(_SHORTEST_NAME, len(text) - _ADDED)}
