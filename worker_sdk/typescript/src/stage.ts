/** What users write: stages. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { StageDefinitionSchema, StageMode } from "../gen/stageline/v1/definition_pb.js";
import type { Context } from "./context.js";
import { duration } from "./time.js";
import { encode } from "./text.js";

/** Reads a value that came as JSON; throws where it does not fit. The `parse` of a schema library is one. */
export type Parser<T> = (value: unknown) => T;

/** What a stage is, apart from its code. */
export interface StageSettings<Config> {
  /** Reads the config. Default: taken as it is. */
  config?: Parser<Config>;
  /** Config for runs that set none. */
  defaultConfig?: Record<string, unknown>;
  /** JSON Schemas (draft 2020-12); the server checks outputs and configs against them. Default: anything. */
  inputSchema?: unknown;
  outputSchema?: unknown;
  configSchema?: unknown;
  /** Ids of earlier stages whose outputs the code reads with `ctx.require`, so that they come along. */
  dependencies?: string[];
  /** Attempts in all. Default 3; 1 means no retry. */
  maxAttempts?: number;
  /** Labels that a worker must have to be given the stage's jobs. Default: any worker that has the stage. */
  requires?: Record<string, string>;
  /** Limits an attempt, from the receipt of the job to its report. */
  timeoutMs?: number;
}

/** A stage that returns its output. */
export interface StageDefinition<In, Out, Config> extends StageSettings<Config> {
  /** Reads the input. What it refuses fails the attempt for good, and `run` is not called. Default: taken as it is. */
  input?: Parser<In>;
  run(ctx: Context<Config>, input: In): Out | Promise<Out>;
}

/** A stage that may suspend. */
export interface AsyncStageDefinition<In, Out, State, Config> extends StageSettings<Config> {
  input?: Parser<In>;
  /** Reads the state of the suspension. */
  state?: Parser<State>;
  run(ctx: Context<Config>, input: In): Out | Suspended | Promise<Out | Suspended>;
  /** Asks after the work that goes on elsewhere. */
  check(ctx: Context<Config>, state: State): Out | StillWaiting | Promise<Out | StillWaiting>;
}

/** Returned by an async stage: the work goes on elsewhere, ask again later. Nothing waits in memory. */
export class Suspended {
  constructor(
    readonly settings: {
      /** Handed to each check. Never put secrets into it. Default: an empty object. */
      state?: unknown;
      /** Wait before each check. Default 30 s, at least 1 s. */
      pollIntervalMs?: number;
      /** When the stage fails if it still waits. Default a day. */
      maxWaitMs?: number;
      /** Wait before the first check. Default: the poll interval. */
      firstCheckMs?: number;
      /** Only a token of `ctx.resumeToken`, or the longest wait, ends it. */
      neverPoll?: boolean;
    } = {},
  ) {}
}

/** Returned by a check: there is nothing yet. */
export class StillWaiting {
  constructor(
    readonly settings: {
      /** Wait before the next check. Default: the poll interval. */
      nextCheckMs?: number;
      /** Replaces the state. Default: it stays. */
      state?: unknown;
    } = {},
  ) {}
}

/** One unit of work. Make one with `stage` or `asyncStage`. */
export interface Stage {
  readonly id: string;
  readonly definition: MessageInitShape<typeof StageDefinitionSchema>;
  readonly config: Parser<unknown>;
  readonly input: Parser<unknown>;
  readonly state: Parser<unknown>;
  readonly run: (ctx: Context<unknown>, input: unknown) => unknown;
  readonly check?: (ctx: Context<unknown>, state: unknown) => unknown;
}

/** Makes a stage. */
export function stage<In = unknown, Out = unknown, Config = Record<string, unknown>>(
  id: string,
  definition: StageDefinition<In, Out, Config>,
): Stage {
  return {
    id,
    definition: messageOf(id, StageMode.SYNC, definition),
    config: definition.config ?? asItIs,
    input: definition.input ?? asItIs,
    state: asItIs,
    // The parsers make values of the types that the functions take.
    run: definition.run as Stage["run"],
  };
}

/** Makes a stage that may suspend. */
export function asyncStage<In = unknown, Out = unknown, State = unknown, Config = Record<string, unknown>>(
  id: string,
  definition: AsyncStageDefinition<In, Out, State, Config>,
): Stage {
  return {
    ...stage(id, definition as StageDefinition<In, unknown, Config>),
    definition: messageOf(id, StageMode.ASYNC_BATCH, definition),
    state: definition.state ?? asItIs,
    check: definition.check as NonNullable<Stage["check"]>,
  };
}

function asItIs(value: unknown): unknown {
  return value;
}

function messageOf<Config>(id: string, mode: StageMode, settings: StageSettings<Config>): Stage["definition"] {
  return create(StageDefinitionSchema, {
    id,
    mode,
    inputSchema: schemaOf(settings.inputSchema),
    outputSchema: schemaOf(settings.outputSchema),
    configSchema: schemaOf(settings.configSchema),
    defaultConfig: schemaOf(settings.defaultConfig),
    dependencies: settings.dependencies ?? [],
    requiredLabels: settings.requires ?? {},
    ...(settings.maxAttempts === undefined ? {} : { retryPolicy: { maxAttempts: settings.maxAttempts } }),
    ...(settings.timeoutMs === undefined ? {} : { timeouts: { startToClose: duration(settings.timeoutMs) } }),
  });
}

function schemaOf(schema: unknown): Uint8Array {
  return schema === undefined ? new Uint8Array() : encode(schema);
}
