/** Outputs of earlier stages that did not come with a job (R42). */

import { WorkerService } from "../gen/stageline/v1/worker_service_pb.js";
import { jsonOf } from "./payload.js";
import { type PayloadCalls, repeated } from "./payloads.js";

/**
 * Fetches outputs, asking again for those that had no room in the answer.
 *
 * @throws ApiError The server refused, or could not be reached for a minute.
 */
export async function fetchOutputs(calls: PayloadCalls, wanted: string[], signal: AbortSignal): Promise<Map<string, Uint8Array>> {
  const { namespace, leaseToken } = calls;
  const found = new Map<string, Uint8Array>();
  let stageIds = wanted;
  while (stageIds.length > 0) {
    const request = { namespace, leaseToken, stageIds };
    const answer = await repeated(() => calls.connection().unary(WorkerService.method.fetchOutputs, request, signal), signal);
    const outputs = Object.entries(answer.outputs);
    if (outputs.length === 0) {
      throw new Error(`the server did not send the outputs of ${stageIds.join(", ")}`);
    }
    await calls.resolve(outputs.map(([, payload]) => payload), signal);
    for (const [id, payload] of outputs) {
      found.set(id, jsonOf(payload) ?? new Uint8Array());
    }
    stageIds = answer.remainingStageIds;
  }
  return found;
}
