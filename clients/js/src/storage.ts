/** Do something with the storage of this tab. There may be none, the page's settings may forbid it, and it may be full. */
export const withStorage = <T>(work: (storage: Storage) => T): T | undefined => {
  try {
    return work(sessionStorage);
  } catch {
    return undefined;
  }
};
