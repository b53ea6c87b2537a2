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

/** Listeners by event. */
export const createEmitter = <E>() => {
  const listeners = new Map<keyof E, Set<{ listener: (detail: never) => void }>>();
  return {
    on<K extends keyof E>(event: K, listener: (detail: E[K]) => void, signal?: AbortSignal): Release {
      const entry = { listener }; // the same function may listen twice
      let all = listeners.get(event);
      if (!all) listeners.set(event, (all = new Set()));
      all.add(entry);
      return releasing(() => void all.delete(entry), signal);
    },
    /** Whether anybody listens. Who was released by an earlier listener is not called any more. */
    emit<K extends keyof E>(event: K, detail: E[K]): boolean {
      const all = listeners.get(event);
      if (!all?.size) return false;
      for (const entry of [...all]) if (all.has(entry)) tell(entry.listener as (detail: E[K]) => void, detail);
      return true;
    },
    size: (event: keyof E): number => listeners.get(event)?.size ?? 0,
    clear: (): void => {
      for (const all of listeners.values()) all.clear();
    },
  };
};

export type Emitter<E> = ReturnType<typeof createEmitter<E>>;
