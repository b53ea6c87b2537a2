import { Unauthorized } from "./errors.js";
import type { Ask, TokenSource } from "./types.js";

export type Token = string | null;

/** Where tokens come from: the provider is asked once at a time, and a token is used until it has ended. */
export const createTokens = (source: TokenSource | undefined) => {
  let token: Token | undefined;
  let flight: Promise<Token> | undefined;
  let owner: AbortSignal;

  /**
   * What a token may be. Anything else would begin a session without a user, unseen: a mistake, and final, of one who has
   * never given a token; one who has is asked again, since an answer of his back end without one does that too.
   */
  const check = (given: unknown): Token => {
    if (given === null || (given && typeof given === "string")) return given as Token;
    throw new (token === undefined ? Unauthorized : TypeError)(`\`token\` gave ${given === "" ? '""' : typeof given}: give a token, or null for none`);
  };

  return {
    /** Whether a new one can be had. */
    renewable: typeof source === "function",

    /** Forget it: the next comes from the provider. */
    forget: (): void => void (token = undefined),

    /** The token to use; a new one if `ended` is what there is. Throws what the provider throws, or `Unauthorized` or TypeError for what is no token. */
    async get(reason: Ask["reason"], signal: AbortSignal, ended?: Token): Promise<Token> {
      if (typeof source !== "function") return check(source ?? null);
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
      return (flight = (async () => (token = check(await source({ reason, signal }))))().finally(() => {
        flight = undefined;
      }));
    },
  };
};
