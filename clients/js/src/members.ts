import type { Channel, Member, Members, PresenceEvent, Release, Store } from "./types.js";
import { releasing } from "./emitter.js";

const NOBODY: Members = { state: "idle", members: [], count: 0, users: 0 };

/** Who is in a channel: a page of presence each time that the subscription stands, and what happens after it. */
export const createMembers = (channel: Omit<Channel, "members">): Store<Members> & { reset(): void } => {
  const watching = new Set<{ changed: () => void }>();
  let snapshot = NOBODY;
  let stop: Release[] = [];
  let loading: object | undefined;
  let later: ((at: Map<string, Member>) => void)[] = []; // what happened while the page was under way

  const show = (next: Members): void => {
    snapshot = next;
    for (const { changed } of watching) changed();
  };
  const apply = (event: { count: number; users: number }, change: (at: Map<string, Member>) => void): void => {
    if (loading) later.push(change);
    const at = new Map(snapshot.members.map((member) => [member.connection, member]));
    change(at);
    show({ ...snapshot, members: [...at.values()], count: event.count, users: event.users });
  };
  const load = async (): Promise<void> => {
    if (channel.state !== "live") return;
    const mine = (loading = {});
    later = [];
    show({ ...snapshot, state: snapshot.state === "ready" ? "ready" : "loading" });
    const page = await channel.presence().catch(() => null);
    if (loading !== mine) return;
    loading = undefined;
    if (!page) return show({ ...snapshot, state: "failed" });
    const at = new Map(page.members.map((member) => [member.connection, member]));
    for (const change of later) change(at);
    show({ state: "ready", members: [...at.values()], count: page.count, users: page.users });
  };
  const start = (): void => {
    stop = [
      channel.subscribe(() => {}),
      channel.on("state", load),
      channel.on("count", (event) => apply(event, () => {})),
      channel.on("join", (event: PresenceEvent) => {
        const { user, connection, info } = event;
        apply(event, (at) => at.set(connection, { user, connection, info }));
      }),
      channel.on("leave", (event) => apply(event, (at) => at.delete(event.connection))),
    ];
    load();
  };
  return {
    getSnapshot: () => snapshot,
    subscribe(changed) {
      const entry = { changed };
      watching.add(entry);
      if (watching.size === 1) start();
      return releasing(() => {
        watching.delete(entry);
        if (!watching.size) for (const release of stop.splice(0)) release();
      });
    },
    /** They belonged to another user's view. */
    reset(): void {
      loading = undefined;
      show(NOBODY);
    },
  };
};
