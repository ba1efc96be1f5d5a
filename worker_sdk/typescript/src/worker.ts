/** The worker: serves workflows' stages until it is told to stop. */

import { hostname } from "node:os";

import { create } from "@bufbuild/protobuf";

import { HelloSchema } from "../gen/stageline/v1/session_pb.js";
import { Connection, type ConnectOptions } from "./connection.js";
import { type Logger, Session } from "./session.js";
import type { Workflow } from "./workflow.js";

const SDK_VERSION = "0.1.0-dev";
const SLOTS_DEFAULT = 16;
const SLOTS_MAX = 10_000;
const DRAIN_MS_DEFAULT = 30_000;
const PROTOCOL_VERSION = 1;

export interface WorkerOptions extends ConnectOptions {
  /** What it serves, at least one. */
  workflows: Workflow[];
  /** The most jobs that it works on at once, 1 to 10,000. Default 16. */
  slots?: number;
  /** For people, at most 128 characters. Default: the first workflow's name. */
  name?: string;
  /** The tenant that it works for. Default "default". */
  namespace?: string;
  /** For people, and for stages that require them. */
  labels?: Record<string, string>;
  /** Version or commit of your code. */
  buildId?: string;
  /** How long it may take to end; then jobs are stopped and handed back. Default 30 s. */
  drainTimeoutMs?: number;
  /** Is told what happens. Default: the console's error stream. */
  logger?: Logger;
}

/**
 * Serves the stages of workflows: registers them, gets jobs, runs them, reports. A connection that breaks is taken up again, for
 * ever; work that was begun goes on meanwhile. Stages share the one thread of JavaScript with the session: code that blocks it for
 * longer than the session's timeout (15 s by default) loses its leases (R25).
 */
export class Worker {
  readonly #options: WorkerOptions;
  #session: Session | undefined;
  #stopWithinMs: number | undefined;

  constructor(options: WorkerOptions) {
    const slots = options.slots ?? SLOTS_DEFAULT;
    if (!Number.isInteger(slots) || slots < 1 || slots > SLOTS_MAX) {
      throw new RangeError(`slots must be 1 to ${SLOTS_MAX}, got ${slots}`);
    }
    check(options.workflows);
    this.#options = { ...options, slots };
  }

  /**
   * Serves until `stop` is called.
   *
   * @throws Error The server refused the worker, and trying again would not help.
   */
  async run(): Promise<void> {
    if (this.#session !== undefined) {
      throw new Error("this worker runs already");
    }
    const { workflows, logger } = this.#options;
    const session = new Session(new Connection(this.#options), this.#profile(), workflows, logger ?? toStderr);
    this.#session = session;
    if (this.#stopWithinMs !== undefined) {
      session.drain(this.#stopWithinMs);
    }
    try {
      await session.run();
    } finally {
      this.#session = undefined;
      this.#stopWithinMs = undefined;
    }
  }

  /** Makes `run` end: takes nothing new, finishes what is held or hands it back within a time. Another call may only shorten it. */
  stop(withinMs = this.#options.drainTimeoutMs ?? DRAIN_MS_DEFAULT): void {
    this.#stopWithinMs = withinMs;
    this.#session?.drain(withinMs);
  }

  /**
   * Serves until SIGINT or SIGTERM, stops as `stop` does, and ends the process: with code 0, or with 1 when the server refused
   * the worker. A second signal ends it at once.
   */
  async runUntilSignal(): Promise<never> {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => this.stop());
    }
    try {
      await this.run();
    } catch (error) {
      (this.#options.logger ?? toStderr).warn(error instanceof Error ? error.message : String(error));
      process.exit(1);
    }
    process.exit(0);
  }

  #profile() {
    const { workflows, slots, name, namespace, labels, buildId } = this.#options;
    return create(HelloSchema, {
      namespace: namespace ?? "",
      protocolVersion: PROTOCOL_VERSION,
      slots: slots ?? SLOTS_DEFAULT,
      labels: labels ?? {},
      identity: {
        name: name ?? workflows[0]?.name ?? "",
        hostname: hostname(),
        processId: BigInt(process.pid),
        sdkName: "stageline-typescript",
        sdkVersion: SDK_VERSION,
        runtime: `node ${process.versions.node}`,
        buildId: buildId ?? "",
      },
    });
  }
}

/** Says what is wrong with workflows before the server does. */
function check(workflows: readonly Workflow[]): void {
  if (workflows.length === 0) {
    throw new TypeError("a worker serves at least one workflow");
  }
  const names = new Set(workflows.map((each) => each.name));
  if (names.size < workflows.length) {
    throw new TypeError("a worker serves one version of a workflow; one is given twice");
  }
  for (const workflow of workflows) {
    const ids = workflow.stages.map((each) => each.id);
    if (ids.length === 0 || new Set(ids).size < ids.length) {
      throw new TypeError(`workflow ${workflow.name} has ${ids.length === 0 ? "no stages" : "two stages of one id"}`);
    }
  }
}

const toStderr: Logger = {
  info: (text) => console.error(`stageline: ${text}`),
  warn: (text) => console.error(`stageline: WARNING ${text}`),
};
