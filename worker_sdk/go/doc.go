// Package stageline runs the stages of Stageline workflows in Go, and starts runs.
//
// A stage is a function with typed input and output; a [Workflow] puts stages into groups; a [Worker] serves them:
//
//	count := stageline.NewStage("count", func(ctx *stageline.Context, text Text) (int, error) {
//		ctx.Info("counting", "length", len(text.Body))
//		return len(strings.Fields(text.Body)), nil
//	})
//	worker, err := stageline.NewWorker(stageline.WorkerOptions{
//		Workflows: []*stageline.Workflow{stageline.NewWorkflow("counts").Then(count)},
//	})
//	...
//	err = worker.RunUntilSignal()
//
// The rules that the worker keeps to are docs/worker-protocol.md, cited here as R1, R2 and so on; `stageline conformance`
// holds it to them.
package stageline

// Version of this SDK, as workers tell it to the server.
const Version = "0.1.0-dev"
