/** What users write: workflows. */

import { create } from "@bufbuild/protobuf";

import { type WorkflowDefinition, WorkflowDefinitionSchema } from "../gen/stageline/v1/definition_pb.js";
import type { Stage } from "./stage.js";
import { encode } from "./text.js";

/** A named pipeline of groups of stages. Make one with `workflow` or `remote`; each method returns a changed copy. */
export class Workflow {
  constructor(
    readonly name: string,
    readonly groups: readonly (readonly Stage[])[],
    /** Whether others register it, and this process only has some of its stages. */
    readonly isRemote: boolean,
    readonly settings: { inputSchema?: Uint8Array } = {},
  ) {}

  /**
   * Returns the workflow with one more group: a stage, or several that run side by side on the same input. The next group's
   * input is the bare output of a single stage, or an object of the outputs of several, keyed by stage id.
   */
  pipe(...stages: Stage[]): Workflow {
    return new Workflow(this.name, [...this.groups, stages], this.isRemote, this.settings);
  }

  /** Gives runs a JSON Schema (draft 2020-12) of their input, which the server checks. */
  withInputSchema(schema: unknown): Workflow {
    return new Workflow(this.name, this.groups, this.isRemote, { ...this.settings, inputSchema: encode(schema) });
  }

  get stages(): Stage[] {
    return this.groups.flat();
  }

  stage(id: string): Stage | undefined {
    return this.stages.find((each) => each.id === id);
  }

  get definition(): WorkflowDefinition {
    return create(WorkflowDefinitionSchema, {
      ...this.settings,
      name: this.name,
      groups: this.groups.map((stages) => ({ stages: stages.map((each) => each.definition) })),
    });
  }
}

/** Starts a workflow without groups. The server gives it a version when a worker or a client registers it. */
export function workflow(name: string): Workflow {
  return new Workflow(name, [], false);
}

/**
 * Names a workflow that others register, in whatever language, of which a worker serves these stages. It serves the latest
 * version that there is when it connects, and waits until there is one.
 */
export function remote(name: string, ...stages: Stage[]): Workflow {
  return new Workflow(name, [stages], true);
}
