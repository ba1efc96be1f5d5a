/** The I/O around a session's state machine: connects, keeps time, connects again, until the worker has drained. */

import { create } from "@bufbuild/protobuf";
import { type ClientDuplexStream, status, type StatusObject } from "@grpc/grpc-js";

import type { JobOffer } from "../gen/stageline/v1/job_pb.js";
import { DisconnectReason, type Drain, type Hello, type SessionEnd, type WorkerStages, WorkerStagesSchema } from "../gen/stageline/v1/session_pb.js";
import type { ServerFrame, WorkerFrame } from "../gen/stageline/v1/worker_pb.js";
import { WorkerService } from "../gen/stageline/v1/worker_service_pb.js";
import { WorkflowService } from "../gen/stageline/v1/workflow_service_pb.js";
import type { Connection } from "./connection.js";
import type { SessionPort } from "./context.js";
import { Core, type Host } from "./core.js";
import { ApiError, apiError, StoppedError } from "./errors.js";
import { execute } from "./execute.js";
import { nextFrame, nextFrameAt } from "./frames.js";
import { keyOf } from "./jobs.js";
import { beginDrain, isDrained, nextTickAt, tick } from "./lifetime.js";
import { PayloadCalls } from "./payloads.js";
import type { Said } from "./speech.js";
import type { Terms } from "./terms.js";
import { Backoff, milliseconds, NEVER, now, TIMER_MAX_MS } from "./time.js";
import type { Workflow } from "./workflow.js";

/** How long the server may take to end a stream that the worker has drained and closed. */
const GOODBYE_WITHIN_MS = 2_000;
/** The longest wait between two tries while leases are held, as a share of the session's timeout (R62). */
const HELD_SHARE = 0.2;

export interface Logger {
  info(text: string): void;
  warn(text: string): void;
}

/** How a stream ended. */
interface StreamEnd {
  end?: SessionEnd | undefined;
  error?: Error;
  /** The worker left it. */
  left?: { reason: string; drain: Drain | undefined };
}

interface Link {
  call: ClientDuplexStream<WorkerFrame, ServerFrame>;
  isWritable: boolean;
  closingUntil: number;
  finish(end: StreamEnd): void;
}

export class Session implements Host, SessionPort {
  readonly #core: Core;
  readonly #workflows: Map<string, Workflow>;
  readonly #namespace: string;
  readonly #logger: Logger;
  readonly #backoff = new Backoff();
  readonly #cancels = new Map<string, AbortController>();
  #connection: Connection;
  #versions = new Map<string, number>();
  #link: Link | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isTurnQueued = false;
  /** Ends whatever is waited for when the worker has drained. */
  #onDrained: () => void = () => {};
  readonly #drained = new Promise<void>((resolve) => {
    this.#onDrained = resolve;
  });

  constructor(connection: Connection, profile: Hello, workflows: readonly Workflow[], logger: Logger) {
    this.#core = new Core(profile, this);
    this.#connection = connection;
    this.#namespace = profile.namespace;
    this.#workflows = new Map(workflows.map((each) => [each.name, each]));
    this.#logger = logger;
  }

  /**
   * Serves until the worker has drained.
   *
   * @throws Error The server refused the worker, and trying again would not help.
   */
  async run(): Promise<void> {
    try {
      while (!isDrained(this.#core, now())) {
        const waitMs = await this.#serveOnce();
        if (!isDrained(this.#core, now())) {
          this.#logger.info(`connecting again in ${(waitMs / 1000).toFixed(1)} s`);
          await this.#unlessDrained(pause(waitMs));
        }
      }
    } finally {
      clearTimeout(this.#timer);
      this.#connection.close();
      for (const cancel of this.#cancels.values()) {
        cancel.abort(new StoppedError("the worker ends"));
      }
    }
  }

  /** Takes nothing new, and ends within a time. */
  drain(withinMs: number): void {
    beginDrain(this.#core, withinMs, now());
    this.#turn();
  }

  // What jobs say and ask

  say(leaseToken: Uint8Array, said: Said): void {
    this.#core.take(leaseToken, said, now());
    if (!this.#isTurnQueued) {
      // What a job says in one go travels in one frame.
      this.#isTurnQueued = true;
      setImmediate(() => this.#turn());
    }
  }

  payloads(leaseToken: Uint8Array): PayloadCalls {
    return new PayloadCalls(() => this.#connection, this.#namespace, leaseToken);
  }

  get terms(): Terms | undefined {
    return this.#core.terms;
  }

  // What the state machine asks for

  startJob(offer: JobOffer): void {
    const stage = this.#workflows.get(offer.workflowName)?.stage(offer.stageId);
    if (stage === undefined) {
      throw new Error(`stage ${offer.stageId} is known and not there`);
    }
    const key = keyOf(offer.leaseToken);
    const cancel = new AbortController();
    this.#cancels.set(key, cancel);
    // In a turn of its own: the stage's code must not run in the midst of a frame.
    setImmediate(() => {
      void execute(offer, stage, this, cancel.signal).then((report) => {
        this.#cancels.delete(key);
        this.say(offer.leaseToken, { kind: "finished", report });
      });
    });
  }

  stopJob(token: Uint8Array, reason: string): void {
    this.#cancels.get(keyOf(token))?.abort(new StoppedError(reason));
  }

  leaveStream(reason: string, drain?: Drain): void {
    this.#link?.finish({ left: { reason, drain } });
  }

  knows(offer: JobOffer): boolean {
    const isVersion = this.#versions.get(offer.workflowName) === offer.workflowVersion;
    return isVersion && this.#workflows.get(offer.workflowName)?.stage(offer.stageId) !== undefined;
  }

  warn(text: string): void {
    this.#logger.warn(text);
  }

  // Streams

  /** Serves over one stream, and returns the milliseconds to wait before the next one. */
  async #serveOnce(): Promise<number> {
    try {
      const stages = await this.#unlessDrained(this.#registerAll());
      if (stages === undefined) {
        return 0;
      }
      return this.#afterStream(await this.#serveStream(stages));
    } catch (error) {
      this.#judge(error);
      return this.#nextWait();
    }
  }

  #afterStream({ end, error, left }: StreamEnd): number {
    if (left !== undefined) {
      this.#logger.info(`left the server at ${this.#connection.address}: ${left.reason}`);
      if (left.drain !== undefined && left.drain.reconnectAddress !== "") {
        const next = this.#connection.movedTo(left.drain.reconnectAddress);
        this.#connection.close();
        this.#connection = next;
      }
      const after = left.drain?.reconnectAfter;
      return after === undefined ? this.#nextWait() : milliseconds(after);
    }
    if (end?.reason === DisconnectReason.SUPERSEDED) {
      this.#core.abandonSession();
    } else if (end !== undefined && !end.reconnect && end.reason !== DisconnectReason.DRAINED) {
      const why = `${DisconnectReason[end.reason]} ${end.error?.message ?? ""}`;
      throw new Error(`the server ended the session for good: ${why.trim()}`);
    } else if (error !== undefined) {
      this.#judge(error);
    }
    return end?.reconnectAfter === undefined ? this.#nextWait() : milliseconds(end.reconnectAfter);
  }

  /** Says what an error means: nothing to try again, thrown to end the worker (R87 to R89). */
  #judge(error: unknown): void {
    if (!(error instanceof Error) || (error instanceof ApiError && isFatal(error))) {
      throw error;
    }
    if (error instanceof ApiError && error.reason === "SESSION_SUPERSEDED") {
      this.#core.abandonSession();
    } else if (!(error instanceof ApiError) && error.name !== "FramingError") {
      throw error; // A defect of this SDK, or a definition that cannot be written: it would come again.
    }
    this.#logger.warn(error.message);
  }

  #nextWait(): number {
    const { terms, jobs } = this.#core;
    return this.#backoff.next(terms === undefined || jobs.size === 0 ? NEVER : terms.sessionTimeoutMs * HELD_SHARE);
  }

  /** Registers what the worker serves, and asks for what others registered (R1). */
  async #registerAll(): Promise<WorkerStages[]> {
    const stages: WorkerStages[] = [];
    for (const workflow of this.#workflows.values()) {
      const namespace = this.#namespace;
      const answer = workflow.isRemote
        ? await this.#connection.unary(WorkflowService.method.getWorkflow, { namespace, workflowName: workflow.name })
        : await this.#connection.unary(WorkflowService.method.registerWorkflow, {
            namespace,
            definition: workflow.definition,
          });
      stages.push(
        create(WorkerStagesSchema, {
          workflowName: workflow.name,
          workflowVersion: answer.workflow?.version ?? 0,
          workflowDigest: answer.workflow?.digest ?? new Uint8Array(),
          stageIds: workflow.isRemote ? workflow.stages.map((each) => each.id) : [],
        }),
      );
    }
    this.#versions = new Map(stages.map((each) => [each.workflowName, each.workflowVersion]));
    return stages;
  }

  /** Serves until the stream ends, or the worker leaves it. */
  async #serveStream(stages: WorkerStages[]): Promise<StreamEnd> {
    const call = this.#connection.bidirectional(WorkerService.method.work);
    try {
      return await new Promise<StreamEnd>((finish) => {
        this.#link = { call, isWritable: true, closingUntil: NEVER, finish };
        call.on("data", (frame: ServerFrame) => this.#receive(frame, finish));
        call.on("drain", () => {
          if (this.#link?.call === call) {
            this.#link.isWritable = true;
            this.#turn();
          }
        });
        call.on("error", () => {}); // The status tells the same.
        call.on("status", (ended: StatusObject) => {
          const error = ended.code === status.OK ? {} : { error: apiError(ended) };
          finish({ end: this.#core.stream?.end, ...error });
        });
        this.#link.isWritable = call.write(this.#core.openStream(stages, now()));
        this.#turn();
      });
    } finally {
      this.#link = undefined;
      this.#core.closeStream();
      call.cancel();
      this.#schedule();
    }
  }

  #receive(frame: ServerFrame, finish: (end: StreamEnd) => void): void {
    const { stream } = this.#core;
    const wasWelcomed = stream?.terms !== undefined;
    try {
      this.#core.receive(frame, now());
    } catch (error) {
      finish({ error: error as Error });
      return;
    }
    if (!wasWelcomed && stream?.terms !== undefined) {
      this.#backoff.reset();
      this.#logger.info(`connected to ${this.#connection.address}: session ${this.#core.sessionId}`);
    }
    this.#turn();
  }

  /** Does what is due, and sends what is to be said. */
  #turn(): void {
    this.#isTurnQueued = false;
    const at = now();
    tick(this.#core, at);
    const link = this.#link;
    if (link !== undefined) {
      this.#write(link, at);
    }
    if (isDrained(this.#core, at) && link === undefined) {
      this.#onDrained();
    }
    this.#schedule();
  }

  #write(link: Link, at: number): void {
    while (link.isWritable && link.closingUntil === NEVER) {
      const frame = nextFrame(this.#core, at);
      if (frame !== undefined) {
        link.isWritable = link.call.write(frame);
      } else if (isDrained(this.#core, at)) {
        link.closingUntil = at + GOODBYE_WITHIN_MS;
        link.call.end();
      } else {
        return;
      }
    }
    const isOver = this.#core.drain !== undefined && at >= this.#core.drain.overAt + GOODBYE_WITHIN_MS;
    if (at >= link.closingUntil || isOver) {
      link.finish({ end: this.#core.stream?.end });
    }
  }

  /** Sets the timer to when the next turn is due. */
  #schedule(): void {
    clearTimeout(this.#timer);
    const link = this.#link;
    const frameAt = link?.isWritable === true && link.closingUntil === NEVER ? nextFrameAt(this.#core) : NEVER;
    const at = Math.min(nextTickAt(this.#core), frameAt, link?.closingUntil ?? NEVER);
    if (at !== NEVER) {
      const waitMs = Math.min(Math.max(1, Math.ceil(at - now())), TIMER_MAX_MS);
      this.#timer = setTimeout(() => this.#turn(), waitMs);
    }
  }

  /** Waits, but no longer than until the worker has drained; gives undefined then. */
  async #unlessDrained<T>(waited: Promise<T>): Promise<T | undefined> {
    this.#turn();
    return await Promise.race([waited, this.#drained.then(() => undefined)]);
  }
}

function isFatal(error: ApiError): boolean {
  switch (error.code) {
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
    case status.UNIMPLEMENTED:
      return true;
    case status.INVALID_ARGUMENT:
    case status.ALREADY_EXISTS:
      return error.reason !== "" && error.reason !== "FRAME_INVALID";
    case status.RESOURCE_EXHAUSTED:
      return error.reason === "LIMIT_EXCEEDED" || error.reason === "PAYLOAD_TOO_LARGE";
    default:
      return error.reason === "PROTOCOL_VERSION_UNSUPPORTED" || error.reason === "NAMESPACE_NOT_FOUND";
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
