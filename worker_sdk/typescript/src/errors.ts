/** Errors that a stage's code throws or meets. */

import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type ServiceError, status } from "@grpc/grpc-js";

/** Thrown by a stage: no retry can heal it. The stage fails for good, whatever its retry policy says. */
export class FinalError extends Error {
  override name = "FinalError";
}

/** Thrown by a stage: a retry may heal it, after a wait that takes the place of the policy's backoff. */
export class RetryableError extends Error {
  override name = "RetryableError";

  constructor(
    message: string,
    /** The wait in milliseconds; unset leaves it to the policy. */
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** No earlier stage of the run has the id that was asked for. Final. */
export class NoOutputError extends FinalError {
  override name = "NoOutputError";
}

/** The work is not wanted any more: the reason of a stage's `ctx.signal`. */
export class StoppedError extends Error {
  override name = "StoppedError";
}

/** The value does not fit its declared type: never thrown by a stage's code. */
export class MisfitError extends Error {
  override name = "MisfitError";

  constructor(
    readonly kind: "input" | "config" | "output",
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A call that the server refused, or that did not reach it. Programs decide by `reason` and `code`, never by the text. */
export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    message: string,
    /** The gRPC status code. */
    readonly code: status,
    /** A name of stageline.v1.ErrorReason without its prefix, such as "RUN_NOT_FOUND"; empty where there is none. */
    readonly reason: string,
  ) {
    super(message);
  }

  /** Whether the server could not be reached, or could not reach its database. */
  get isUnavailable(): boolean {
    return this.code === status.UNAVAILABLE || this.code === status.INTERNAL || this.code === status.CANCELLED;
  }
}

/** A value of the job could not be moved to or from the server. */
export class TransferError extends Error {
  override name = "TransferError";
  /** Whether another attempt may do better: what the server refused it will refuse again. */
  readonly isRetryable: boolean;

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.isRetryable = cause instanceof ApiError && cause.isUnavailable;
  }

  /** Whether the lease that the value was moved under is not live any more. */
  get isSuperseded(): boolean {
    return this.cause instanceof ApiError && this.cause.reason === "LEASE_SUPERSEDED";
  }
}

/** Waits for a transfer, and marks its errors. */
export async function transferred<T>(transfer: Promise<T>): Promise<T> {
  try {
    return await transfer;
  } catch (error) {
    throw error instanceof StoppedError ? error : new TransferError(error);
  }
}

/** Gives an error of gRPC the reason that its details hold. */
export function apiError(error: Pick<ServiceError, "code" | "details" | "metadata">): ApiError {
  const [details] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const reason = Buffer.isBuffer(details) ? reasonOf(details) : "";
  return new ApiError(`${status[error.code]} ${reason}: ${error.details}`, error.code, reason);
}

/** Reads google.rpc.ErrorInfo.reason out of a google.rpc.Status: two small messages, known for good. */
function reasonOf(details: Uint8Array): string {
  for (const detail of fieldsOf(details, 3)) {
    const [type] = fieldsOf(detail, 1);
    if (type !== undefined && Buffer.from(type).toString().endsWith("google.rpc.ErrorInfo")) {
      const [info] = fieldsOf(detail, 2);
      const [reason] = info === undefined ? [] : fieldsOf(info, 1);
      return reason === undefined ? "" : Buffer.from(reason).toString();
    }
  }
  return "";
}

function fieldsOf(message: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted) {
      found.push(reader.bytes());
    } else {
      reader.skip(type);
    }
  }
  return found;
}
