/** Timers by name, so that one owner can end all of its own. */
export const createTimers = () => {
  const running = new Map<string, ReturnType<typeof setTimeout>>();
  const timers = {
    cancel(name: string): void {
      clearTimeout(running.get(name));
      running.delete(name);
    },
    /** Do it after so many milliseconds, in place of what had that name. */
    after(name: string, ms: number, work: () => void): void {
      timers.cancel(name);
      running.set(
        name,
        setTimeout(() => {
          running.delete(name);
          work();
        }, ms),
      );
    },
    clear: (): void => [...running.keys()].forEach(timers.cancel),
  };
  return timers;
};
