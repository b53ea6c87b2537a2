"""Whether clients were told each message once, in order, or that it is lost. Pure: knows nothing of how it came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.chaos.histories import (
    Ack,
    Denied,
    Failed,
    Got,
    History,
    Joined,
    Left,
    Log,
    Lost,
    Place,
    Record,
    Recovered,
    Rejoining,
    Start,
)

Window = tuple[int, int]
"""From when to when, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `kind`: missed, doubled, reordered, unrecovered (told of a recovery that has a hole),
    foreign, echoed, failed, behind, nowhere, refused, unsettled, idle, stays or absent (of presence), lost (acknowledged,
    and no fault allows that it is gone), again (a leave that was told before, and no fault takes that back), reset (a word
    of a loss, and nothing but planned work was near that loses nothing), service (what a log or a probe says).
    """

    kind: str
    client: str
    channel: str
    offset: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """A client was told of a loss, and that an epoch `begins` where it was in another."""

    client: str
    channel: str
    lost: Lost
    begins: bool


@dataclass(slots=True)
class Verdict:
    """What is wrong, and how much there was. `flagged`: losses that clients were told of, by reason.
    `acked_unheard`: acknowledged, heard by nobody, and everybody was told that something is missing there: the store lost
    it, or a reset went on behind it. `lost`: those of them that the store does not have. `told`: each word of a loss. `heard`: channel and place
    of all that anybody was given, also where its epoch has ended since. `again`: client, channel and leave, of those told a
    second time on one line.
    """

    findings: list[Finding] = field(default_factory=list)
    delivered: int = 0
    acked: int = 0
    flagged: Counter[str] = field(default_factory=Counter)
    acked_unheard: int = 0
    recovered: int = 0
    lost: list[Ack] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    heard: set[tuple[str, Place]] = field(default_factory=set, compare=False, repr=False)
    again: list[tuple[str, str, Left]] = field(default_factory=list)

    def find(
        self, kind: str, client: str, channel: str, *, text: str, offset: int | None = None
    ) -> None:
        """Note what must not be."""
        self.findings.append(Finding(kind, client, channel, offset, text))

    def count(self, kind: str) -> int:
        """How many findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


def check(record: Record) -> Verdict:
    """The verdict on everything that a run has left, at rest: nobody publishes any more, everybody is back."""
    verdict = Verdict(acked=len(record.acks))
    known: dict[tuple[str, Place], str] = {}
    for ack in record.acks:
        _know(verdict, known, ack)
    walks = [_Walk(history, verdict, known) for history in record.histories]
    for walk in walks:
        walk.run()
    _check_ends(walks, verdict, record.logs)
    _check_acks(record, walks, verdict)
    _check_logs(record, walks, verdict)
    _check_presence(record, verdict)
    for client, channel, name, code in record.refused:
        verdict.find("refused", client, channel, text=f"publish {name}: {code}")
    for client, channel, name, at in record.waiting:
        verdict.find("unsettled", client, channel, text=f"{name} of {at} was never answered")
    return verdict


def check_costs(
    verdict: Verdict,
    *,
    losing: Sequence[Window],
    refusing: Sequence[Window],
    resetting: Sequence[Window] = (),
    emptying: Sequence[Window] = (),
    denied: Sequence[Denied] = (),
) -> None:
    """Demand that what is lost was acknowledged when a fault allows that, and refused when one is near. A store that was
    emptied may lose what somebody has heard, however old that is; one that lost what it knew of a leave may tell it again.
    """
    for ack in verdict.lost:
        heard = (ack.channel, ack.place) in verdict.heard
        if not _is_in(ack.at, losing) and not (heard and _is_in(ack.at, emptying)):
            text = f"{ack.id} was acknowledged and is lost, and no fault then may lose it"
            verdict.find("lost", ack.client, ack.channel, offset=ack.place.offset, text=text)
    for client, channel, left in verdict.again:
        if not _is_in(left.at, resetting):
            text = f"{left.connection} left, as was told before"
            verdict.find("again", client, channel, text=text)
    for one in denied:
        if not _is_in(one.at, refusing):
            text = f"publish {one.id}: {one.code}, and no fault was near"
            verdict.find("refused", one.client, one.channel, text=text)


def check_kept(
    verdict: Verdict,
    *,
    keeping: Sequence[Window],
    resetting: Sequence[Window],
    others: Sequence[Window],
) -> None:
    """Demand that planned work has told nobody of a loss: that no epoch begins near it, but by a fault that allows one, and
    that no reader is told anything else of a loss where no other fault is near.
    """
    # Who was away hears late of an epoch: it began when the first one heard of it.
    first: dict[tuple[str, str], Told] = {}
    for one in sorted(verdict.told, key=lambda told: told.lost.at):
        if one.begins:
            first.setdefault((one.channel, one.lost.place.epoch), one)
    within = [one for one in verdict.told if not one.begins]
    for one in [*first.values(), *within]:
        at, explained = one.lost.at, resetting if one.begins else others
        if _is_in(at, keeping) and not _is_in(at, explained):
            text = f"was told of a loss ({one.lost.reason}), and planned work costs none"
            offset = one.lost.place.offset
            verdict.find("reset", one.client, one.channel, offset=offset, text=text)


def needless(verdict: Verdict, resetting: Sequence[Window]) -> int:
    """How many words of a loss no fault explains."""
    return sum(not _is_in(one.lost.at, resetting) for one in verdict.told)


def _is_in(at: int, windows: Sequence[Window]) -> bool:
    return any(begin <= at <= end for begin, end in windows)


def _know(verdict: Verdict, known: dict[tuple[str, Place], str], ack: Ack) -> None:
    there = known.setdefault((ack.channel, ack.place), ack.id)
    if there != ack.id:
        text = f"{ack.id} was acknowledged where {there} is"
        verdict.find("foreign", ack.client, ack.channel, offset=ack.place.offset, text=text)


class _Walk:
    """One history, from its beginning to its end."""

    def __init__(
        self, history: History, verdict: Verdict, known: dict[tuple[str, Place], str]
    ) -> None:
        self.history = history
        self.at: Place | None = None
        self.held: dict[Place, str] = {}
        self.skipped: list[tuple[Place, Place, int]] = []
        """From where to where it was told that something is missing, and when."""
        self._epochs: set[str] = set()
        self.claimed = False
        """Whether the last that it was told is that all it missed follows."""
        self._ids: dict[str, Place] = {}
        self._gone: set[str] = set()
        """Connections that left while this line stood: after a return, what is told may be told again."""
        self._away = False
        """Whether it comes back: the lines that it tries meanwhile are not told apart."""
        self._verdict = verdict
        self._known = known

    def run(self) -> None:
        for entry in self.history.entries:
            match entry:
                case Start():
                    self.at = entry.place
                    self._epochs.add(entry.place.epoch)
                case Got():
                    self._got(entry)
                case Lost():
                    self._lost(entry)
                case Rejoining():
                    self._away = True
                case Recovered():
                    self.claimed = True
                    self._returned()
                    self._verdict.recovered += 1
                case Joined():
                    self._gone.discard(entry.connection)
                case Left():
                    self._left(entry)
                case Failed():
                    self._say("failed", None, f"the channel failed: {entry.code}")
        self._pass_own()

    def covers(self, place: Place, begun: int) -> bool:
        """Whether it was told that something is missing there, of what was sent at that time: between two places, in an
        epoch that has ended, or in one that began and ended while it heard nothing.
        """
        for before, after, at in self.skipped:
            if before.epoch != after.epoch and place.epoch in (before.epoch, after.epoch):
                return True
            if before.epoch != after.epoch and place.epoch not in self._epochs and at >= begun:
                return True
            if before.epoch == place.epoch and before.offset < place.offset <= after.offset:
                return True
        return False

    def _say(self, kind: str, offset: int | None, text: str) -> None:
        where = self.history
        self._verdict.find(kind, where.client, where.channel, offset=offset, text=text)

    def _got(self, got: Got) -> None:
        if self.at is None:
            return self._say("reordered", got.offset, "came before the subscription stood")
        self._pass_own(got.offset)
        place = Place(self.at.epoch, got.offset)
        if place in self.history.own:
            self._say("echoed", got.offset, f"{got.id} was published not to be heard here")
        if got.offset <= self.at.offset:
            kind = "doubled" if place in self.held else "reordered"
            return self._say(kind, got.offset, f"{got.id} came after offset {self.at.offset}")
        for missing in range(self.at.offset + 1, got.offset):
            self._say("missed", missing, f"is missing before {got.id} at {got.offset}")
            if self.claimed:
                self._say("unrecovered", missing, "was told that all it missed follows")
        self.claimed = False
        self._hold(place, got.id)
        self._verdict.delivered += 1
        return None

    def _returned(self) -> None:
        self._away = False
        self._gone.clear()

    def _left(self, left: Left) -> None:
        if self._away:
            return
        if left.connection in self._gone:
            self._verdict.again.append((self.history.client, self.history.channel, left))
        self._gone.add(left.connection)

    def _hold(self, place: Place, id: str) -> None:
        there = self._known.setdefault((self.history.channel, place), id)
        if there != id:
            self._say("foreign", place.offset, f"{id} came where others have {there}")
        if id in self._ids:
            self._say("doubled", place.offset, f"{id} came at {self._ids[id]} too")
        self._ids[id] = place
        self.held[place] = id
        self._verdict.heard.add((self.history.channel, place))
        self.at = place

    def _pass_own(self, until: int | None = None) -> None:
        """Over what it published itself and was not to hear."""
        while self.at is not None:
            place = Place(self.at.epoch, self.at.offset + 1)
            name = self.history.own.get(place)
            if name is None or place.offset == until:
                return
            self._hold(place, name)

    def _lost(self, lost: Lost) -> None:
        if self.at is None:
            return self._say("reordered", lost.place.offset, "lost before the subscription stood")
        if lost.reason == "gap":
            self._say("missed", lost.place.offset, "the client found a gap that nobody told it of")
        self.claimed = False
        self._returned()
        self._verdict.flagged[lost.reason] += 1
        begins = lost.place.epoch != self.at.epoch
        self._verdict.told.append(Told(self.history.client, self.history.channel, lost, begins))
        self._pass_own()
        if begins:
            self._void(self.at.epoch, lost.began or 0)
        self.skipped.append((self.at, lost.place, lost.at))
        self._epochs.add(lost.place.epoch)
        self.at = lost.place
        return None

    def _void(self, epoch: str, began: int) -> None:
        """What it has of an epoch that has ended counts up to where the next one began."""
        for place, name in list(self.held.items()):
            if place.epoch == epoch and place.offset > began:
                del self.held[place]
                self._ids.pop(name, None)


def _check_ends(walks: list[_Walk], verdict: Verdict, logs: Mapping[str, Log]) -> None:
    """Demand that all who read a channel stand at one place, the log's end if it is known, and that anything came."""
    ends: dict[str, Counter[Place]] = {}
    for walk in walks:
        ends.setdefault(walk.history.channel, Counter()).update([walk.at] if walk.at else [])
    heads = {channel: _head(places) for channel, places in ends.items()}
    heads |= {name: Place(log.epoch, log.last) for name, log in logs.items() if log.ids}
    for walk in walks:
        client, channel = walk.history.client, walk.history.channel
        head = heads[channel]
        if walk.at is None or walk.at != head:
            text = f"ends at {walk.at}, others at {head}"
            offset = walk.at and walk.at.offset
            verdict.find("behind", client, channel, offset=offset, text=text)
            if walk.claimed:
                text = "was told that all it missed follows"
                verdict.find("unrecovered", client, channel, offset=offset, text=text)
        elif not walk.held and not walk.skipped:
            verdict.find("idle", client, channel, text="nothing came at all")


def _head(places: Counter[Place]) -> Place | None:
    """The newest place of the epoch that most are in."""
    if not places:
        return None
    epochs: Counter[str] = Counter()
    for place, count in places.items():
        epochs[place.epoch] += count
    epoch = epochs.most_common(1)[0][0]
    return max(place for place in places if place.epoch == epoch)


def _check_acks(record: Record, walks: list[_Walk], verdict: Verdict) -> None:
    """Demand that what was acknowledged is somewhere, or that everybody was told that it may be lost."""
    readers: dict[str, list[_Walk]] = {}
    held: dict[str, set[Place]] = {}
    for walk in walks:
        readers.setdefault(walk.history.channel, []).append(walk)
        held.setdefault(walk.history.channel, set()).update(walk.held)
    for ack in record.acks:
        if ack.place in held.get(ack.channel, ()):
            continue
        if all(walk.covers(ack.place, ack.begun) for walk in readers.get(ack.channel, [])):
            verdict.acked_unheard += 1
            log = record.logs.get(ack.channel)
            if log is None or ack.id not in log.names:
                verdict.lost.append(ack)
        else:
            text = f"{ack.id} was acknowledged there, and nobody has it"
            verdict.find("nowhere", ack.client, ack.channel, offset=ack.place.offset, text=text)


def _check_logs(record: Record, walks: list[_Walk], verdict: Verdict) -> None:
    """Demand that what was heard and acknowledged in the last epoch is what the log has."""
    for walk in walks:
        client, channel = walk.history.client, walk.history.channel
        log = record.logs.get(channel)
        for place, name in walk.held.items() if log else ():
            assert log is not None
            if _differs(log, place, name):
                text = f"{name} came where the log has {log.ids.get(place.offset)}"
                verdict.find("foreign", client, channel, offset=place.offset, text=text)
    for ack in record.acks:
        log = record.logs.get(ack.channel)
        if log and _differs(log, ack.place, ack.id):
            text = f"{ack.id} was acknowledged where the log has {log.ids.get(ack.place.offset)}"
            verdict.find("nowhere", ack.client, ack.channel, offset=ack.place.offset, text=text)


def _differs(log: Log, place: Place, name: str) -> bool:
    """Whether the log says something else; it says nothing of what is older than all that it keeps."""
    if place.epoch != log.epoch or place.offset < log.first:
        return False
    return log.ids.get(place.offset) != name


def _check_presence(record: Record, verdict: Verdict) -> None:
    """Demand that each observer sees who is there, and nobody else."""
    for (channel, observer), users in record.members.items():
        there, shown = set(record.present.get(channel, ())), set(users)
        for user in sorted(shown - there):
            verdict.find("stays", observer, channel, text=f"{user} is shown and has left")
        for user in sorted(there - shown):
            verdict.find("absent", observer, channel, text=f"{user} is there and not shown")
        for user in sorted({user for user in users if users.count(user) > 1} & there):
            verdict.find("stays", observer, channel, text=f"{user} is shown more than once")
