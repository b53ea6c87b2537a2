/** The protocol's codes, and those of this package. */
export type ErrorCode =
  | "bad_request"
  | "unauthorized"
  | "forbidden"
  | "unknown_namespace"
  | "not_found"
  | "not_subscribed"
  | "already_subscribed"
  | "rate_limited"
  | "too_large"
  | "limit_exceeded"
  | "invalid_data"
  | "conflict"
  | "unavailable"
  | "internal"
  /** The line is gone, or there is none. */
  | "disconnected"
  /** No answer in time. */
  | "timeout"
  /** More publishes wait than `queue.limit`. */
  | "queue_full"
  /** A publish waited longer than the server would know its key. */
  | "expired"
  /** The server ended the connection for good; `close` is its code. */
  | "closed"
  /** More messages waited in an iterator than its `buffer`. */
  | "slow_reader"
  /** The signal of the call was aborted. */
  | "aborted";

/** What went wrong. `message` says what was wrong and what would be right. */
export class OpenlineError extends Error {
  declare readonly code: ErrorCode;
  /** Whether the same may succeed later. */
  declare readonly temporary: boolean;
  /** Seconds to wait before. */
  declare readonly retryAfter?: number;
  /** The close code, when a connection ended with it. */
  declare readonly close?: number;

  constructor(
    code: ErrorCode,
    message: string,
    {
      cause,
      ...more
    }: { temporary?: boolean; retryAfter?: number | undefined; close?: number; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? {} : { cause });
    Object.assign(this, { name: "OpenlineError", code, temporary: false }, more);
  }
}

/** Thrown by a token provider: there is no token to be had, only a person can help. The client fails and stays away. */
export class Unauthorized extends OpenlineError {
  constructor(message = "no token: sign in again", cause?: unknown) {
    super("unauthorized", message, { cause });
  }
}

/** The error that an `error` event says. */
export const refusal = ({
  code,
  message,
  temporary = false,
  retry_after: retryAfter,
}: { code: ErrorCode; message: string; temporary?: boolean; retry_after?: number }) =>
  new OpenlineError(code, message, { temporary, retryAfter });

export const temporary = (code: ErrorCode, message: string, cause?: unknown) =>
  new OpenlineError(code, message, { temporary: true, cause });

export const disconnected = (message = "not connected: call connect(), or wait for online()") => temporary("disconnected", message);

export const aborted = () => new OpenlineError("aborted", "its signal was aborted");
