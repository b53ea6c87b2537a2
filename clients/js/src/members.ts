import type { Channel, Member, Members, PresenceEvent, Release, Store } from "./types.js";
import { createEmitter, releasing } from "./emitter.js";

/** Who is in a channel: a page of presence each time that the subscription stands, and what happens after it. */
export const createMembers = (channel: Omit<Channel, "members">): Store<Members> & { reset(): void } => {
  const watching = createEmitter<{ changed: Members }>();
  let snapshot: Members = { state: "idle", members: [], count: 0, users: 0 };
  let at = new Map<string, Member>();
  let stop: Release[] = [];
  let loading: object | undefined;
  let later: (() => void)[] = []; // what happened while the page was under way

  const show = (state: Members["state"], { count, users }: Pick<Members, "count" | "users"> = snapshot): void => {
    snapshot = { state, members: [...at.values()], count, users };
    watching.emit("changed", snapshot);
  };
  const fill = (members: Member[]): void => {
    at = new Map(members.map((member) => [member.connection, member]));
  };
  const load = async (): Promise<void> => {
    if (channel.state !== "live") return;
    const mine = (loading = {});
    later = [];
    show(snapshot.state === "ready" ? "ready" : "loading");
    const page = await channel.presence().catch(() => null);
    if (loading !== mine) return;
    loading = undefined;
    if (!page) return show("failed");
    fill(page.members);
    for (const change of later) change();
    show("ready", page);
  };
  const follow = (type: "join" | "leave" | "count") =>
    channel.on(type, (event) => {
      const { user, connection, info } = event as PresenceEvent; // a count has none of them
      const change = () => (type === "join" ? at.set(connection, { user, connection, info }) : at.delete(connection));
      if (loading) later.push(change);
      change();
      show(snapshot.state, event);
    });
  return {
    getSnapshot: () => snapshot,
    subscribe(changed) {
      const release = watching.on("changed", () => changed());
      if (watching.size("changed") === 1) {
        stop = [channel.subscribe(() => {}), channel.on("state", load), follow("count"), follow("join"), follow("leave")];
        load();
      }
      return releasing(() => {
        release();
        if (!watching.size("changed")) for (const end of stop.splice(0)) end();
      });
    },
    /** They belonged to another user's view. */
    reset(): void {
      loading = undefined;
      fill([]);
      show("idle", { count: 0, users: 0 });
    },
  };
};
