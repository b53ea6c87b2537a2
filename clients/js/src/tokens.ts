import type { Ask, TokenSource } from "./types.js";

export type Token = string | null;

/** Where tokens come from: the provider is asked once at a time, and a token is used until it has ended. */
export const createTokens = (source: TokenSource | undefined) => {
  let token: Token | undefined;
  let flight: Promise<Token> | undefined;
  let owner: AbortSignal;
  return {
    /** Whether a new one can be had. */
    renewable: typeof source === "function",

    /** Forget it: the next comes from the provider. */
    forget: (): void => void (token = undefined),

    /** The token to use; a new one if `ended` is what there is. Throws what the provider throws. */
    async get(reason: Ask["reason"], signal: AbortSignal, ended?: Token): Promise<Token> {
      if (typeof source !== "function") return source ?? null;
      while (flight) {
        const theirs = owner;
        try {
          await flight; // asked for by an attempt that has ended, perhaps: its token counts, its failure does not
        } catch (error) {
          if (!theirs.aborted) throw error;
        }
      }
      if (token !== undefined && token !== ended) return token;
      owner = signal;
      return (flight = (async () => (token = await source({ reason, signal })))().finally(() => {
        flight = undefined;
      }));
    },
  };
};
