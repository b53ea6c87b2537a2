export { createClient } from "./client.js";
export { OpenlineError, Unauthorized } from "./errors.js";
export { sessionPositions } from "./positions.js";
export type * from "./types.js";
