/** The conformance worker in TypeScript: what `stageline conformance` drives. docs/conformance-worker.md describes its stages. */

import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import {
  asyncStage,
  type Context,
  FinalError,
  RetryableError,
  stage,
  StillWaiting,
  Suspended,
  Worker,
  workflow,
} from "../src/index.js";

const LOOK_EVERY_MS = 10;

interface Gated {
  path: string;
}

interface Failing {
  message: string;
  repeat?: number;
  retryable?: boolean;
  retry_after_ms?: number;
}

interface Suspending {
  state: Record<string, unknown>;
  poll_interval_ms?: number;
  max_wait_ms?: number;
  first_check_ms?: number;
  never_poll?: boolean;
  tokens?: string[];
}

interface Checked {
  answer: string;
  output?: unknown;
  next_check_ms?: number;
  state?: unknown;
}

interface Speech {
  message?: string;
  lines?: number;
  fields?: Record<string, unknown>;
  progress?: number[];
  annotations?: { key: string; value: unknown }[];
  path?: string;
}

function counted(value: unknown): { count: number } {
  const count = (value as { count?: unknown } | null)?.count;
  if (!Number.isInteger(count)) {
    throw new TypeError(`count must be a whole number, got ${JSON.stringify(count)}`);
  }
  return { count: count as number };
}

/** Waits until a file exists, and says that the wait has begun. */
async function gate(path: string, signal?: AbortSignal): Promise<void> {
  writeFileSync(`${path}.entered`, "");
  while (!existsSync(path)) {
    await sleep(LOOK_EVERY_MS, undefined, signal === undefined ? {} : { signal });
  }
}

function given<T>(value: T | undefined): value is T {
  return value !== undefined;
}

const echo = stage("echo", { run: (_, input) => input });

const describe = stage("describe", {
  run: (ctx: Context) => ({
    run_id: ctx.runId,
    workflow_name: ctx.workflowName,
    workflow_version: ctx.workflowVersion,
    stage_id: ctx.stageId,
    generation: ctx.generation,
    attempt: ctx.attempt,
    delivery: ctx.delivery,
    has_deadline: given(ctx.deadline),
    is_past_deadline: given(ctx.deadline) && ctx.deadline < new Date(),
    greeting: ctx.config["greeting"] ?? "hello",
    resume_state: ctx.resumeState ?? null,
  }),
});

const fail = stage<Failing>("fail", {
  run: (_, input) => {
    const message = input.message.repeat(input.repeat ?? 1);
    if (input.retryable === undefined) {
      throw new Error(message);
    }
    throw input.retryable ? new RetryableError(message, input.retry_after_ms) : new FinalError(message);
  },
});

const wait = stage<Gated>("wait", {
  run: async (ctx, { path }) => {
    await gate(path, ctx.signal);
    return { waited: true };
  },
});

const stubborn = stage<Gated>("stubborn", {
  run: async (_, { path }) => {
    await gate(path);
    return { waited: true };
  },
});

const require = stage<{ stage_ids: string[] }>("require", {
  run: async (ctx, input) => {
    const outputs: Record<string, unknown> = {};
    for (const id of input.stage_ids) {
      outputs[id] = await ctx.require(id);
    }
    return outputs;
  },
});

const big = stage<{ bytes: number }>("big", { run: (_, { bytes }) => "x".repeat(bytes) });

const typed = stage("typed", { input: counted, run: (_, { count }) => ({ count: count + 1 }) });

const suspend = asyncStage<Suspending, unknown, Checked>("suspend", {
  run: (ctx, input) => {
    const tokens = (input.tokens ?? []).map((label) => ctx.resumeToken(label));
    return new Suspended({
      state: tokens.length > 0 ? { ...input.state, tokens } : input.state,
      neverPoll: input.never_poll ?? false,
      ...(given(input.poll_interval_ms) && { pollIntervalMs: input.poll_interval_ms }),
      ...(given(input.max_wait_ms) && { maxWaitMs: input.max_wait_ms }),
      ...(given(input.first_check_ms) && { firstCheckMs: input.first_check_ms }),
    });
  },
  check: (_, state) => {
    switch (state.answer) {
      case "ready":
        return state.output;
      case "not-yet":
        return new StillWaiting({
          state: state.state,
          ...(given(state.next_check_ms) && { nextCheckMs: state.next_check_ms }),
        });
      default:
        throw new Error("the work elsewhere failed");
    }
  },
});

const speak = stage<Speech>("speak", {
  run: async (ctx, input) => {
    for (let number = 0; number < (input.lines ?? 0); number++) {
      ctx.info(input.message ?? "", input.fields ?? { number });
    }
    for (const { key, value } of input.annotations ?? []) {
      ctx.annotate(key, value);
    }
    for (const fraction of input.progress ?? []) {
      ctx.progress(fraction, input.message ?? "");
    }
    if (given(input.path)) {
      await gate(input.path, ctx.signal);
    }
    return {};
  },
});

const usage = stage<{ topic: string; input_tokens: number; path?: string }>("usage", {
  run: async (ctx, input) => {
    ctx.recordUsage({ topic: input.topic, type: "TEXT", inputTokens: input.input_tokens });
    if (given(input.path)) {
      await gate(input.path, ctx.signal);
    }
    return {};
  },
});

await new Worker({
  workflows: [
    workflow("conformance").pipe(echo, describe, fail, wait, stubborn, require, big, typed, suspend, speak, usage),
  ],
  slots: 4,
  name: "conformance-typescript",
  drainTimeoutMs: 3_000,
}).runUntilSignal();
