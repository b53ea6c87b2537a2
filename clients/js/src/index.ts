export { OpenlineError, Unauthorized } from "./errors.js";
export type * from "./types.js";
