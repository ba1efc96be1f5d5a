/**
 * Runs the stages of Stageline workflows in Node, and starts runs.
 *
 * The rules that the worker keeps to are docs/worker-protocol.md, cited in the code as R1, R2 and so on; `stageline
 * conformance` holds it to them.
 */
export { Client, type Run, type RunOptions } from "./client.js";
export type { ConnectOptions } from "./connection.js";
export type { Context, Usage } from "./context.js";
export { ApiError, FinalError, NoOutputError, RetryableError, StoppedError } from "./errors.js";
export {
  type AsyncStageDefinition,
  asyncStage,
  type Stage,
  type StageDefinition,
  stage,
  StillWaiting,
  Suspended,
} from "./stage.js";
export { Worker, type WorkerOptions } from "./worker.js";
export { remote, Workflow, workflow } from "./workflow.js";
