/** The intervals and limits of a session, as Welcome told them (R6). */

import type { Duration } from "@bufbuild/protobuf/wkt";

import type { Welcome } from "../gen/stageline/v1/session_pb.js";
import { milliseconds, NEVER } from "./time.js";

export interface Terms {
  heartbeatMs: number;
  sessionTimeoutMs: number;
  progressMs: number;
  frameBytesMax: number;
  frameItemsMax: number;
  /** Infinite where the server does not enforce it; likewise the next three. */
  inlinePayloadBytesMax: number;
  payloadBytesMax: number;
  logMessageBytesMax: number;
  logEntriesPerSecond: number;
}

export function termsOf(welcome: Welcome): Terms {
  const limits = welcome.limits;
  return {
    heartbeatMs: intervalOf(welcome.heartbeatInterval, 5_000),
    sessionTimeoutMs: intervalOf(welcome.sessionTimeout, 15_000),
    progressMs: intervalOf(welcome.progressInterval, 1_000),
    frameBytesMax: Number(limits?.frameBytesMax ?? 0) || 1024 * 1024,
    frameItemsMax: (limits?.frameItemsMax ?? 0) || 1000,
    inlinePayloadBytesMax: Number(limits?.inlinePayloadBytesMax ?? 0) || NEVER,
    payloadBytesMax: Number(limits?.payloadBytesMax ?? 0) || NEVER,
    logMessageBytesMax: Number(limits?.logMessageBytesMax ?? 0) || NEVER,
    logEntriesPerSecond: (limits?.logEntriesPerSecondMax ?? 0) || NEVER,
  };
}

function intervalOf(told: Duration | undefined, unset: number): number {
  const value = told === undefined ? 0 : milliseconds(told);
  return value > 0 ? value : unset;
}
