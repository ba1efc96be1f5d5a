/** What a stage's code gets. */

import { createHash, randomBytes } from "node:crypto";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";

import { AnnotationEntrySchema } from "../gen/stageline/v1/annotation_pb.js";
import type { JobOffer } from "../gen/stageline/v1/job_pb.js";
import type { ResumeConditionSchema } from "../gen/stageline/v1/report_pb.js";
import { LogEntrySchema, LogLevel, StageProgressSchema } from "../gen/stageline/v1/run_pb.js";
import { CallType, CostSource, type UsageRecord, UsageRecordSchema } from "../gen/stageline/v1/usage_pb.js";
import { MisfitError, NoOutputError, transferred } from "./errors.js";
import { fetchOutputs } from "./outputs.js";
import { jsonOf } from "./payload.js";
import type { PayloadCalls } from "./payloads.js";
import type { Said } from "./speech.js";
import type { Terms } from "./terms.js";
import { cleanText, cut, decode, encode, fieldsJson, newUuid, timestampNow } from "./text.js";
import { duration, milliseconds } from "./time.js";

const ANNOTATION_VALUE_BYTES_MAX = 16 * 1024;
const RESUME_TOKEN_BYTES = 24;

/** One call of an AI model. What is unset is unknown. */
export interface Usage {
  /** A UUID; the first record of an id counts. Default: a new one. */
  id?: string;
  /** What the call was for, as a dotted path such as "extract.summary". */
  topic: string;
  type: "TEXT" | "OBJECT" | "EMBED" | "STREAM" | "BATCH";
  modelKey?: string;
  modelId?: string;
  provider?: string;
  inputTokens?: number;
  outputTokens?: number;
  cachedInputTokens?: number;
  reasoningTokens?: number;
  /** An exact decimal such as "0.00123". */
  costUsd?: string;
  latencyMs?: number;
  /** Default: now. */
  startTime?: Date;
  errorMessage?: string;
}

/** What a context needs of its session. */
export interface SessionPort {
  say(leaseToken: Uint8Array, said: Said): void;
  /** The calls that move large values of a job. */
  payloads(leaseToken: Uint8Array): PayloadCalls;
  /** The session's limits; undefined before it has any. */
  readonly terms: Terms | undefined;
}

/** What a stage's code gets. Its methods are to be called until the code has ended. */
export class Context<Config = Record<string, unknown>> {
  readonly runId: string;
  readonly workflowName: string;
  readonly workflowVersion: number;
  readonly stageId: string;
  /** 1 for the first execution, one more at each rerun. */
  readonly generation: number;
  /** 1 for the first try; failures count it up. */
  readonly attempt: number;
  /** How often this attempt was handed to a worker, this time included. */
  readonly delivery: number;
  /** When the attempt times out; undefined if it never does. */
  readonly deadline: Date | undefined;
  /** Metrics and resume tokens, for the report. */
  readonly metrics: Record<string, number> = {};
  readonly resumeConditions: MessageInitShape<typeof ResumeConditionSchema>[] = [];
  readonly #offer: JobOffer;
  readonly #session: SessionPort;
  readonly #fetched = new Map<string, Uint8Array>();

  /** For the runtime. */
  constructor(
    offer: JobOffer,
    session: SessionPort,
    /** The stage's config: the run's, over the stage's defaults. */
    readonly config: Config,
    /** Aborted when the work is not wanted any more; its reason is a StoppedError. Pass it to `fetch` and the like. */
    readonly signal: AbortSignal,
  ) {
    this.#offer = offer;
    this.#session = session;
    this.runId = offer.runId;
    this.workflowName = offer.workflowName;
    this.workflowVersion = offer.workflowVersion;
    this.stageId = offer.stageId;
    this.generation = offer.generation;
    this.attempt = offer.attempt;
    this.delivery = offer.delivery;
    this.deadline =
      offer.startToClose === undefined ? undefined : new Date(Date.now() + milliseconds(offer.startToClose));
  }

  /**
   * Returns the output of an earlier stage. Outputs that did not come with the job are fetched.
   *
   * @throws NoOutputError No stage of an earlier group has this id.
   */
  async require<T = unknown>(stageId: string): Promise<T> {
    const inline = this.#offer.outputs[stageId];
    if (inline?.body.case === "json") {
      return decode(inline.body.value) as T;
    }
    if (!this.#offer.completedStageIds.includes(stageId)) {
      throw new NoOutputError(`stage ${this.stageId} requires the output of stage ${stageId}, which this run does not have`);
    }
    let text = this.#fetched.get(stageId);
    if (text === undefined) {
      text = (await transferred(fetchOutputs(this.#session.payloads(this.#offer.leaseToken), [stageId], this.signal))).get(stageId);
      this.#fetched.set(stageId, text ?? new Uint8Array());
    }
    return decode(text ?? new Uint8Array()) as T;
  }

  /** What the last suspension of this stage left; undefined where it was not suspended in this generation. */
  get resumeState(): unknown {
    const text = jsonOf(this.#offer.suspendedState);
    return text === undefined ? undefined : decode(text);
  }

  /** Logs a line that is kept with the run. */
  debug(message: string, fields?: Record<string, unknown>): void {
    this.#log(LogLevel.DEBUG, message, fields);
  }

  /** Logs what happened. */
  info(message: string, fields?: Record<string, unknown>): void {
    this.#log(LogLevel.INFO, message, fields);
  }

  /** Logs what is not as it should be. */
  warn(message: string, fields?: Record<string, unknown>): void {
    this.#log(LogLevel.WARNING, message, fields);
  }

  /** Logs what went wrong. To fail the stage, throw. */
  error(message: string, fields?: Record<string, unknown>): void {
    this.#log(LogLevel.ERROR, message, fields);
  }

  /** Says how far the stage is, 0 to 1. Of updates in quick succession the last is sent. */
  progress(fraction: number, message = ""): void {
    if (!(fraction >= 0 && fraction <= 1)) {
      throw new RangeError(`progress is a fraction from 0 to 1, got ${fraction}`);
    }
    this.#say({ kind: "progress", progress: create(StageProgressSchema, { fraction, message: cleanText(message) }) });
  }

  /** Makes a note on the run, such as why something was decided: a dotted lower-case name, and any JSON value but null. */
  annotate(key: string, value: unknown): void {
    const text = encode(value);
    if (value === null || value === undefined || text.length > ANNOTATION_VALUE_BYTES_MAX) {
      throw new RangeError(`annotation ${key}: the value is null or over ${ANNOTATION_VALUE_BYTES_MAX} bytes`);
    }
    this.#say({
      kind: "annotation",
      entry: create(AnnotationEntrySchema, { annotationId: newUuid(), key, value: text }),
    });
  }

  /** Reports a number by name; it is kept with the stage. */
  metric(name: string, value: number): void {
    this.metrics[name] = value;
  }

  /** Books an AI call: kept until the server has it, whatever becomes of the stage. */
  recordUsage(usage: Usage): void {
    this.#say({ kind: "usage", record: recordOf(usage) });
  }

  /**
   * Returns a new token by which the outside may end this stage's wait, once: give it away, then return Suspended. The server
   * is only told its hash.
   */
  resumeToken(label = "", expireAfterMs?: number): string {
    const token = randomBytes(RESUME_TOKEN_BYTES).toString("base64url");
    this.resumeConditions.push({
      tokenSha256: createHash("sha256").update(token).digest(),
      label: cleanText(label),
      ...(expireAfterMs === undefined ? {} : { expireAfter: duration(expireAfterMs) }),
    });
    return token;
  }

  #log(level: LogLevel, message: string, fields: Record<string, unknown> | undefined): void {
    const entry = create(LogEntrySchema, {
      level,
      message: cleanText(message),
      fields: fieldsJson(fields),
      logTime: timestampNow(),
    });
    this.#say({ kind: "log", entry });
  }

  #say(said: Said): void {
    this.#session.say(this.#offer.leaseToken, said);
  }
}

/** Reads a config with a stage's parser. */
export function readConfig(text: Uint8Array | undefined, parse: (value: unknown) => unknown): unknown {
  try {
    return parse(text === undefined ? {} : decode(text));
  } catch (cause) {
    throw new MisfitError("config", `the config does not fit: ${String(cause)}`, { cause });
  }
}

function recordOf(usage: Usage): UsageRecord {
  const count = (value: number | undefined, name: string) => (value === undefined ? {} : { [name]: BigInt(value) });
  return create(UsageRecordSchema, {
    usageId: usage.id ?? newUuid(),
    topic: usage.topic,
    callType: CallType[usage.type],
    modelKey: usage.modelKey ?? "",
    modelId: usage.modelId ?? "",
    provider: usage.provider ?? "",
    ...count(usage.inputTokens, "inputTokens"),
    ...count(usage.outputTokens, "outputTokens"),
    ...count(usage.cachedInputTokens, "cachedInputTokens"),
    ...count(usage.reasoningTokens, "reasoningTokens"),
    ...(usage.costUsd === undefined ? {} : { costUsd: usage.costUsd, costSource: CostSource.CALLER }),
    ...(usage.latencyMs === undefined ? {} : { latency: duration(usage.latencyMs) }),
    startTime: timestampFromDate(usage.startTime ?? new Date()),
    errorMessage: cut(cleanText(usage.errorMessage ?? ""), 1024),
  });
}
