"use client";

import {
  createContext,
  createElement,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useInsertionEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
} from "react";
import type { OpenlineError } from "./errors.js";
import type {
  Channel,
  ChannelOptions,
  ChannelState,
  Client,
  ConnectionState,
  Lost,
  Members,
  Message,
  Published,
  Until,
} from "./types.js";

/** Milliseconds: so long somebody counts as typing, and so often the others are told. */
const TYPING = 3_000;
const TELL = 1_000;

type Stop = () => void;

const Context = createContext<Client | null>(null);

/** Gives the client to everything inside, and connects it. Never closes it: who made it does. */
export const OpenlineProvider = ({ client, children }: { client: Client<any>; children?: ReactNode }): ReactNode => {
  useEffect(() => client.connect(), [client]);
  return createElement(Context.Provider, { value: client }, children);
};

/** The client of the provider around. */
export const useClient = (): Client => {
  const client = useContext(Context);
  if (!client) throw new Error("no client: put <OpenlineProvider client={client}> around this component");
  return client;
};

/** A snapshot of one component's own, kept by `start` from mount to unmount. On a server it is `first`. */
const useView = <V extends object>(
  first: V,
  start: (set: (part: Partial<V>) => void, now: () => V) => Stop[],
  keys: unknown[],
  initial: () => V = () => first,
): V => {
  const store = useMemo(() => {
    let snapshot = initial();
    return {
      getSnapshot: () => snapshot,
      subscribe(changed: () => void): Stop {
        const set = (part: Partial<V>): void => {
          snapshot = { ...snapshot, ...part };
          changed();
        };
        const stop = start(set, store.getSnapshot);
        return () => stop.forEach((release) => release());
      },
    };
  }, keys);
  return useSyncExternalStore(store.subscribe, store.getSnapshot, () => first);
};

/** `start` once all components of this commit are mounted, so that options given to `useChannel` come first. */
const soon = (start: () => Stop[]): Stop[] => {
  let stop: Stop[] | undefined = [];
  queueMicrotask(() => {
    if (stop) stop = start();
  });
  return [
    () => {
      stop?.forEach((release) => release());
      stop = undefined;
    },
  ];
};

export interface Connection {
  state: ConnectionState;
  /** Why, when `failed` or `waiting`. */
  error: OpenlineError | null;
  node: string | undefined;
  /** Milliseconds that the last `client.ping()` took. */
  latency: number | undefined;
  user: string | null;
}

const NOWHERE: Connection = { state: "idle", error: null, node: undefined, latency: undefined, user: null };

/** Whether we are online, where and as whom. */
export const useConnection = (): Connection => {
  const client = useClient();
  const look = (error: OpenlineError | null = null): Connection => {
    const { state, latency, connection } = client;
    return { state, error, latency, node: connection?.node, user: connection?.user ?? null };
  };
  return useView(
    NOWHERE,
    (set) => {
      set(look());
      return [client.on("state", ({ error }) => set(look(error)))];
    },
    [client],
    look,
  );
};

export interface UseChannelOptions<T> extends ChannelOptions<T> {
  /** How many of the newest messages `messages` holds: 0. */
  keep?: number;
  /** `false`: do not subscribe. */
  enabled?: boolean;
  /** May be written inline: the newest is called, and nothing subscribes anew. */
  onMessage?: (message: Message<T>) => void;
  /** Fetch your state anew. */
  onLost?: (lost: Lost) => void;
}

export interface ChannelView<T> {
  /** The newest `keep`, oldest first. */
  messages: readonly Message<T>[];
  state: ChannelState;
  error: OpenlineError | null;
  /** The newest loss since the component was mounted, or null. */
  readonly lost: Lost | null;
  publish: (data: T, o?: Until & { key?: string; conflate_key?: string; echo?: boolean; ephemeral?: boolean }) => Promise<Published>;
}

const SILENCE = { messages: [], state: "idle", error: null, lost: null } as const;

/** Listen to a channel for as long as the component is mounted. Other options than the first ones change nothing. */
export const useChannel = <T = any>(name: string, options: UseChannelOptions<T> = {}): ChannelView<T> => {
  const client = useClient();
  const { keep = 0, enabled = true } = options;
  const newest = useRef(options);
  useInsertionEffect(() => {
    newest.current = options;
  });
  const open = useCallback((): Channel<T> => {
    const { keep, enabled, onMessage, onLost, ...rest } = newest.current;
    return client.channel(name, rest as ChannelOptions<any>);
  }, [client, name]);
  const watch = useMemo(() => ({ lost: false, channel: null as Channel<T> | null }), [open]);
  const view = useView<Omit<ChannelView<T>, "publish">>(
    SILENCE,
    (set, now) => {
      if (!enabled) return [];
      const channel = (watch.channel = open());
      const fresh = channel.state === "idle"; // what we have may come again
      const stop = [
        channel.on("state", set),
        channel.on("lost", (lost) => {
          const { onLost } = newest.current;
          if (onLost) onLost(lost);
          else if (!watch.lost) console.warn(`openline: messages of ${name} are lost; use onLost to fetch its state anew`);
          set({ lost });
        }),
        channel.subscribe((message) => {
          if (keep) set({ messages: [...now().messages, message].slice(-keep) });
          newest.current.onMessage?.(message);
        }),
      ];
      set({ state: channel.state, error: channel.error, ...(fresh && SILENCE.messages !== now().messages && { messages: [] }) });
      return stop;
    },
    [open, keep, enabled],
  );
  const publish = useCallback<ChannelView<T>["publish"]>((data, o) => (watch.channel ?? open()).publish(data, o), [watch]);
  return {
    messages: view.messages,
    state: view.state,
    error: view.error,
    publish,
    get lost() {
      watch.lost = true; // somebody looks at it: no warning is due
      return view.lost;
    },
  };
};

const NOBODY: Members = { state: "idle", members: [], count: 0, users: 0 };

/** Who is in a channel; subscribes to it. */
export const usePresence = (name: string): Members => {
  const client = useClient();
  return useView(
    NOBODY,
    (set) =>
      soon(() => {
        const { members } = client.channel(name);
        const stop = members.subscribe(() => set(members.getSnapshot()));
        set(members.getSnapshot());
        return [stop];
      }),
    [client, name],
  );
};

const QUIET: { typing: readonly (string | null)[] } = { typing: [] };

/** Who is typing in a channel, and how to tell that we are; subscribes to it. */
export const useTyping = (name: string): { typing: readonly (string | null)[]; tell: () => void } => {
  const client = useClient();
  const { typing } = useView(
    QUIET,
    (set) =>
      soon(() => {
        const channel = client.channel(name);
        const timers = new Map<string | null, ReturnType<typeof setTimeout>>();
        const show = (): void => set({ typing: [...timers.keys()] });
        const forget = (user: string | null | undefined): void => {
          clearTimeout(timers.get(user!));
          if (timers.delete(user!)) show();
        };
        return [
          channel.on("typing", ({ user }) => {
            clearTimeout(timers.get(user));
            timers.set(user, setTimeout(forget, TYPING, user));
            show();
          }),
          channel.subscribe(({ from }) => forget(from)),
          () => {
            timers.forEach(clearTimeout as never);
            timers.clear();
            show();
          },
        ];
      }),
    [client, name],
  );
  const tell = useMemo(() => {
    let told = -TELL;
    return (): void => {
      const now = performance.now();
      if (now - told < TELL) return;
      told = now;
      client.channel(name).typing();
    };
  }, [client, name]);
  return { typing, tell };
};
