/** From how a stage ended to the report that the server gets. */

import { create, toBinary } from "@bufbuild/protobuf";

import { FailureKind, type StageError, StageErrorSchema } from "../gen/stageline/v1/failure_pb.js";
import type { Payload } from "../gen/stageline/v1/payload_pb.js";
import { type Report, ReportSchema, type ReturnReason } from "../gen/stageline/v1/report_pb.js";
import { FinalError, MisfitError, RetryableError, TransferError } from "./errors.js";
import type { Terms } from "./terms.js";
import { cleanText, cut } from "./text.js";
import { duration } from "./time.js";

const MESSAGE_BYTES_MAX = 16 * 1024;
const STACK_BYTES_MAX = 16 * 1024;
const TYPE_BYTES_MAX = 255;
/** What a frame holds besides one report. */
const FRAME_RESERVE_BYTES = 256;

export function returnedReport(leaseToken: Uint8Array, reason: ReturnReason, message: string, started: boolean): Report {
  return create(ReportSchema, { leaseToken, outcome: { case: "returned", value: { reason, message, started } } });
}

/** Tells an error of the stage's code, or of a value that does not fit (R54, R55). */
export function stageError(error: unknown): StageError {
  const thrown = error instanceof Error ? error : new Error(String(error));
  const type = cut(thrown.constructor.name || thrown.name, TYPE_BYTES_MAX);
  const told = create(StageErrorSchema, {
    kind: FailureKind.APPLICATION,
    type,
    message: cut(cleanText(thrown.message), MESSAGE_BYTES_MAX) || type,
    stackTrace: cut(cleanText(thrown.stack ?? ""), STACK_BYTES_MAX),
  });
  if (thrown instanceof MisfitError) {
    told.kind = FailureKind[`INVALID_${thrown.kind.toUpperCase() as "INPUT" | "CONFIG" | "OUTPUT"}`];
    told.retryable = false;
  } else if (thrown instanceof TransferError) {
    told.kind = FailureKind.INTERNAL;
    if (!thrown.isRetryable) {
      told.retryable = false;
    }
  } else if (thrown instanceof FinalError) {
    told.retryable = false;
  } else if (thrown instanceof RetryableError) {
    told.retryable = true;
    if (thrown.retryAfterMs !== undefined) {
      told.retryAfter = duration(thrown.retryAfterMs);
    }
  }
  return told;
}

/** Returns a report within the server's limits: what is too large becomes a failure that says so (R55). */
export function fittedReport(report: Report, terms: Terms): Report {
  const payload = payloadIn(report);
  const size = payload?.body.case === "json" ? payload.body.value.length : 0;
  if (size > terms.inlinePayloadBytesMax) {
    return tooLarge(report, report.outcome.case === "completed" ? "output" : "state", size, terms.payloadBytesMax);
  }
  const reportSize = toBinary(ReportSchema, report).length;
  const limit = terms.frameBytesMax - FRAME_RESERVE_BYTES;
  return reportSize > limit ? tooLarge(report, "report", reportSize, limit) : report;
}

/** The payload of a report's outcome; undefined where it has none. */
export function payloadIn(report: Report): Payload | undefined {
  const { outcome } = report;
  switch (outcome.case) {
    case "completed":
      return outcome.value.output;
    case "suspended":
    case "stillWaiting":
      return outcome.value.state;
    default:
      return undefined;
  }
}

function tooLarge(report: Report, what: string, size: number, limit: number): Report {
  const error = create(StageErrorSchema, {
    kind: FailureKind.INVALID_OUTPUT,
    type: "PAYLOAD_TOO_LARGE",
    message: `the stage's ${what} has ${size} bytes; the limit is ${limit}. Store large data elsewhere, and return where it is`,
    retryable: false,
  });
  const failed = create(ReportSchema, {
    leaseToken: report.leaseToken,
    outcome: { case: "failed", value: { error } },
  });
  if (report.activeDuration !== undefined) {
    failed.activeDuration = report.activeDuration;
  }
  return failed;
}
