import type { Release } from "./types.js";

/** What ends something, once: called, disposed of, or by the signal. */
export const releasing = (work: () => void, signal?: AbortSignal): Release => {
  let done = false;
  const release = (() => {
    if (done) return;
    done = true;
    signal?.removeEventListener("abort", release);
    work();
  }) as Release;
  release[Symbol.dispose] = release;
  signal?.addEventListener("abort", release);
  if (signal?.aborted) release();
  return release;
};

/** Tell a listener; what it throws is reported and disturbs nobody. */
export const tell = <T>(listener: (detail: T) => void, detail: T): void => {
  try {
    listener(detail);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
};

/** Listeners to events. */
export const createEmitter = <E>() => {
  const entries = new Set<{ event: keyof E; listener: (detail: never) => void }>();
  const of = (event: keyof E) => [...entries].filter((entry) => entry.event === event);
  return {
    on<K extends keyof E>(event: K, listener: (detail: E[K]) => void, signal?: AbortSignal): Release {
      const entry = { event, listener }; // the same function may listen twice
      entries.add(entry);
      return releasing(() => void entries.delete(entry), signal);
    },
    /** Whether anybody listens. Who was released by an earlier listener is not called any more. */
    emit<K extends keyof E>(event: K, detail: E[K]): boolean {
      const all = of(event);
      for (const entry of all) if (entries.has(entry)) tell(entry.listener as (detail: E[K]) => void, detail);
      return all.length > 0;
    },
    size: (event: keyof E): number => of(event).length,
    clear: (): void => entries.clear(),
  };
};

export type Emitter<E> = ReturnType<typeof createEmitter<E>>;
