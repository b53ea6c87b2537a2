/** Whether nobody can see us. Outside of browsers somebody always can. */
export const isHidden = (): boolean => globalThis.document?.visibilityState === "hidden";

/** What may happen to a page and its network. */
export interface PageEvents {
  online(): void;
  offline(): void;
  /** The network is another one. */
  changed(): void;
  /** Somebody looks, or the page runs again after a freeze. */
  visible(): void;
  /** Into the back/forward cache, and out of it. */
  stored(): void;
  restored(): void;
}

/** Listen to them; the returned function ends it. Outside of browsers there are none. */
export const watchPage = (on: PageEvents): (() => void) => {
  const controller = new AbortController();
  const listen = (target: EventTarget | undefined, type: string, work: (event: PageTransitionEvent) => void) =>
    target?.addEventListener?.(type, work as EventListener, { signal: controller.signal });
  const { window, document, navigator } = globalThis;
  listen(window, "online", on.online);
  listen(window, "offline", on.offline);
  listen(window, "pagehide", ({ persisted }) => persisted && on.stored());
  listen(window, "pageshow", ({ persisted }) => persisted && on.restored());
  listen(document, "visibilitychange", () => isHidden() || on.visible());
  listen(document, "resume", on.visible);
  listen((navigator as { connection?: EventTarget } | undefined)?.connection, "change", on.changed);
  return () => controller.abort();
};
