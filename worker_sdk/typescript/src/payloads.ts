/** Values that are too large for a message: they travel through ArtifactService, by their hash (R102, R103). */

import { createHash } from "node:crypto";

import { create } from "@bufbuild/protobuf";

import { ArtifactService } from "../gen/stageline/v1/artifact_service_pb.js";
import { type Payload, PayloadReferenceSchema } from "../gen/stageline/v1/payload_pb.js";
import type { Connection } from "./connection.js";
import { ApiError } from "./errors.js";
import { Backoff, now } from "./time.js";

/** How long a job waits for a server that is away, before its attempt fails. */
const RETRY_FOR_MS = 60_000;
/** How much of a value goes in one message. */
const CHUNK_BYTES = 256 * 1024;

/** The calls that move large values. What breaks off is tried again from its beginning. */
export class PayloadCalls {
  constructor(
    readonly connection: () => Connection,
    readonly namespace: string,
    /** The job that the values are of; empty for a client. */
    readonly leaseToken: Uint8Array = new Uint8Array(),
  ) {}

  /**
   * Puts what they refer to in the place of references.
   *
   * @throws ApiError The server refused, or could not be reached for a minute.
   */
  async resolve(payloads: readonly (Payload | undefined)[], signal?: AbortSignal): Promise<void> {
    for (const payload of payloads) {
      if (payload?.body.case === "reference") {
        payload.body = { case: "json", value: await this.#get(payload.body.value.sha256, signal) };
      }
    }
  }

  /**
   * Puts a reference in the place of a text that is too long for a message.
   *
   * @throws ApiError The server refused, or could not be reached for a minute.
   */
  async offload(payload: Payload | undefined, bytesMax: number, signal?: AbortSignal): Promise<void> {
    if (payload?.body.case !== "json" || payload.body.value.length <= bytesMax) {
      return;
    }
    const text = payload.body.value;
    const sha256 = createHash("sha256").update(text).digest();
    const header = {
      namespace: this.namespace,
      leaseToken: this.leaseToken,
      target: { case: "payload", value: {} },
      sizeBytes: BigInt(text.length),
      sha256,
    } as const;
    function* parts() {
      yield { part: { case: "header", value: header } } as const;
      for (let start = 0; start < text.length; start += CHUNK_BYTES) {
        yield { part: { case: "chunk", value: text.subarray(start, start + CHUNK_BYTES) } } as const;
      }
    }
    await repeated(() => this.connection().clientStream(ArtifactService.method.putArtifact, parts(), signal), signal);
    const reference = create(PayloadReferenceSchema, { sha256, sizeBytes: BigInt(text.length) });
    payload.body = { case: "reference", value: reference };
  }

  #get(sha256: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    const request = {
      namespace: this.namespace,
      leaseToken: this.leaseToken,
      target: { case: "payloadSha256", value: sha256 },
    } as const;
    return repeated(async () => {
      const chunks: Uint8Array[] = [];
      for await (const { part } of this.connection().serverStream(ArtifactService.method.getArtifact, request, signal)) {
        if (part.case === "chunk") {
          chunks.push(part.value);
        }
      }
      const text = Buffer.concat(chunks);
      if (!createHash("sha256").update(text).digest().equals(sha256)) {
        throw new Error("the bytes that came are not those that were stored: their SHA-256 differs");
      }
      return text;
    }, signal);
  }
}

/** Tries a call again while the server is away, for a minute. */
export async function repeated<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const backoff = new Backoff();
  const giveUpAt = now() + RETRY_FOR_MS;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof ApiError) || !error.isUnavailable || now() > giveUpAt) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, backoff.next()));
    }
  }
}
