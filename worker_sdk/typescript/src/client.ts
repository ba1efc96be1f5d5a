/** Starts and reads runs. */

import { type Run as RunMessage, RunState, RunView } from "../gen/stageline/v1/run_pb.js";
import { RunService } from "../gen/stageline/v1/run_service_pb.js";
import { WorkflowService } from "../gen/stageline/v1/workflow_service_pb.js";
import { Connection, type ConnectOptions } from "./connection.js";
import { ApiError } from "./errors.js";
import { payloadOf } from "./payload.js";
import { PayloadCalls } from "./payloads.js";
import { decode, encode, newUuid } from "./text.js";
import { Backoff } from "./time.js";
import type { Workflow } from "./workflow.js";

/** Over this a client stores values apart: the limit that servers have unless they are told otherwise. */
const INLINE_PAYLOAD_BYTES_MAX = 128 * 1024;

/** The settings of a run. */
export interface RunOptions {
  /** Of the workflow. Default: the latest. */
  version?: number;
  /** Makes a retry safe: the same id gives the run that the first call made. Default: a new one. */
  requestId?: string;
  /** By stage id, over the stages' defaults. */
  config?: Record<string, unknown>;
  /** 0 to 100. Default 5. */
  priority?: number;
  labels?: Record<string, string>;
}

/** A run of a workflow, as the server told it. */
export interface Run {
  id: string;
  state: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED" | "UNSPECIFIED";
  /** Undefined while there is none. */
  output: unknown;
  /** Why it failed; empty where it did not. */
  error: string;
  message: RunMessage;
}

export class Client {
  readonly #connection: Connection;
  readonly #namespace: string;
  readonly #payloads: PayloadCalls;

  /** Makes a client; the connection is established by the first call. */
  constructor(options: ConnectOptions & { namespace?: string } = {}) {
    this.#connection = new Connection(options);
    this.#namespace = options.namespace ?? "";
    this.#payloads = new PayloadCalls(() => this.#connection, this.#namespace);
  }

  /** Ends the connection. */
  close(): void {
    this.#connection.close();
  }

  /** Registers a workflow, unless it is registered already, and returns its version. */
  async register(workflow: Workflow): Promise<number> {
    const request = { namespace: this.#namespace, definition: workflow.definition };
    const answer = await this.#connection.unary(WorkflowService.method.registerWorkflow, request);
    return answer.workflow?.version ?? 0;
  }

  /** Starts a run of a workflow. */
  async create(workflowName: string, input: unknown, options: RunOptions = {}): Promise<Run> {
    const payload = payloadOf(encode(input));
    const config = options.config === undefined ? undefined : payloadOf(encode(options.config));
    await this.#payloads.offload(payload, INLINE_PAYLOAD_BYTES_MAX);
    await this.#payloads.offload(config, INLINE_PAYLOAD_BYTES_MAX);
    const answer = await this.#connection.unary(RunService.method.createRun, {
      namespace: this.#namespace,
      requestId: options.requestId ?? newUuid(),
      workflowName,
      workflowVersion: options.version ?? 0,
      input: payload,
      labels: options.labels ?? {},
      ...(config === undefined ? {} : { config }),
      ...(options.priority === undefined ? {} : { priority: options.priority }),
    });
    return runOf(answer.run);
  }

  /** Reads a run with its stages. */
  async get(runId: string): Promise<Run> {
    const request = { namespace: this.#namespace, runId, view: RunView.FULL };
    const { run } = await this.#connection.unary(RunService.method.getRun, request);
    await this.#payloads.resolve([run?.input, run?.config, run?.output, ...(run?.stages ?? []).map((each) => each.output)]);
    return runOf(run);
  }

  /**
   * Returns a run once it has ended. Nothing is polled: the server tells. A run that failed is no error. A server that cannot be
   * reached is tried again until the signal is aborted.
   */
  async wait(runId: string, signal?: AbortSignal): Promise<Run> {
    const backoff = new Backoff();
    let afterSequence = 0n;
    for (;;) {
      try {
        const request = { namespace: this.#namespace, runId, afterSequence };
        for await (const { event } of this.#connection.serverStream(RunService.method.watchRun, request, signal)) {
          afterSequence = event?.sequence ?? afterSequence;
        }
        return await this.get(runId);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof ApiError) || !error.isUnavailable) {
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, backoff.next()));
      }
    }
  }

  /** Starts a run and waits until it has ended. */
  async runAndWait(workflowName: string, input: unknown, options: RunOptions = {}, signal?: AbortSignal): Promise<Run> {
    const { id } = await this.create(workflowName, input, options);
    return await this.wait(id, signal);
  }
}

function runOf(message: RunMessage | undefined): Run {
  if (message === undefined) {
    throw new Error("the server's answer has no run");
  }
  const body = message.output?.body;
  return {
    id: message.runId,
    state: RunState[message.state] as Run["state"],
    output: body?.case === "json" ? decode(body.value) : undefined,
    error: message.error?.message ?? "",
    message,
  };
}
