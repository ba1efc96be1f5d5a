/** Outputs of earlier stages that did not come with a job (R42). */

import { WorkerService } from "../gen/stageline/v1/worker_service_pb.js";
import type { Connection } from "./connection.js";
import { ApiError } from "./errors.js";
import { jsonOf } from "./payload.js";
import { Backoff, now } from "./time.js";

/** How long a job waits for a server that is away, before its attempt fails. */
const RETRY_FOR_MS = 60_000;

/**
 * Fetches outputs, asking again for those that had no room in the answer.
 *
 * @throws ApiError The server refused, or could not be reached for a minute.
 */
export async function fetchOutputs(
  connection: () => Connection,
  wanted: { namespace: string; leaseToken: Uint8Array; stageIds: string[] },
  signal: AbortSignal,
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  const backoff = new Backoff();
  const giveUpAt = now() + RETRY_FOR_MS;
  let stageIds = wanted.stageIds;
  while (stageIds.length > 0) {
    signal.throwIfAborted();
    try {
      const answer = await connection().unary(WorkerService.method.fetchOutputs, { ...wanted, stageIds }, signal);
      for (const [id, payload] of Object.entries(answer.outputs)) {
        found.set(id, jsonOf(payload, `output of stage ${id}`) ?? new Uint8Array());
      }
      if (Object.keys(answer.outputs).length === 0) {
        throw new Error(`the server did not send the outputs of ${stageIds.join(", ")}`);
      }
      stageIds = answer.remainingStageIds;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ApiError) || !error.isUnavailable || now() > giveUpAt) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, backoff.next()));
    }
  }
  return found;
}
