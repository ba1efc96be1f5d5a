// The conformance worker in Go: what `stageline conformance` drives. docs/conformance-worker.md describes its stages.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	stageline "stageline/sdk"
)

const lookEvery = 10 * time.Millisecond

func main() {
	workflow := stageline.NewWorkflow("conformance").Then(
		stageline.NewStage("echo", func(_ *stageline.Context, input json.RawMessage) (json.RawMessage, error) {
			return input, nil
		}),
		stageline.NewStage("describe", describe),
		stageline.NewStage("fail", fail),
		stageline.NewStage("wait", wait),
		stageline.NewStage("stubborn", stubborn),
		stageline.NewStage("require", require),
		stageline.NewStage("big", func(_ *stageline.Context, input struct{ Bytes int }) (string, error) {
			return strings.Repeat("x", input.Bytes), nil
		}),
		stageline.NewStage("typed", func(_ *stageline.Context, input counted) (counted, error) {
			return counted{input.Count + 1}, nil
		}),
		stageline.NewAsyncStage("suspend", suspend, check),
		stageline.NewStage("speak", speak),
		stageline.NewStage("usage", usage),
	)
	worker, err := stageline.NewWorker(stageline.WorkerOptions{
		Workflows: []*stageline.Workflow{workflow}, Slots: 4, Name: "conformance-go", DrainTimeout: 3 * time.Second,
	})
	if err == nil {
		err = worker.RunUntilSignal()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func describe(ctx *stageline.Context, _ json.RawMessage) (map[string]any, error) {
	config := struct{ Greeting string }{"hello"}
	if err := ctx.Config(&config); err != nil {
		return nil, err
	}
	var state any
	if _, err := ctx.ResumeState(&state); err != nil {
		return nil, err
	}
	deadline, hasDeadline := ctx.Deadline()
	return map[string]any{
		"run_id": ctx.RunID, "workflow_name": ctx.WorkflowName, "workflow_version": ctx.WorkflowVersion,
		"stage_id": ctx.StageID, "generation": ctx.Generation, "attempt": ctx.Attempt, "delivery": ctx.Delivery,
		"has_deadline": hasDeadline, "is_past_deadline": hasDeadline && deadline.Before(time.Now()),
		"greeting": config.Greeting, "resume_state": state,
	}, nil
}

type failing struct {
	Message      string
	Repeat       int
	Retryable    *bool
	RetryAfterMS int `json:"retry_after_ms"`
}

func fail(_ *stageline.Context, input failing) (any, error) {
	err := errors.New(strings.Repeat(input.Message, max(1, input.Repeat)))
	switch {
	case input.Retryable == nil:
		return nil, err
	case *input.Retryable:
		return nil, stageline.Retryable(err, time.Duration(input.RetryAfterMS)*time.Millisecond)
	default:
		return nil, stageline.Final(err)
	}
}

type gated struct{ Path string }

type waited struct {
	Waited bool `json:"waited"`
}

func wait(ctx *stageline.Context, input gated) (waited, error) {
	return waited{true}, gate(ctx, input.Path)
}

// stubborn waits like wait, and never asks whether it should go on.
func stubborn(_ *stageline.Context, input gated) (waited, error) {
	enter(input.Path)
	for !exists(input.Path) {
		time.Sleep(lookEvery)
	}
	return waited{true}, nil
}

// gate waits until a file exists, and says that the wait has begun.
func gate(ctx *stageline.Context, path string) error {
	enter(path)
	for !exists(path) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
	return nil
}

func enter(path string) { _ = os.WriteFile(path+".entered", nil, 0o600) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func require(ctx *stageline.Context, input struct {
	StageIDs []string `json:"stage_ids"`
}) (map[string]json.RawMessage, error) {
	outputs := map[string]json.RawMessage{}
	for _, id := range input.StageIDs {
		var output json.RawMessage
		if err := ctx.Require(id, &output); err != nil {
			return nil, err
		}
		outputs[id] = output
	}
	return outputs, nil
}

type counted struct {
	Count int `json:"count"`
}

type suspending struct {
	State          map[string]any
	PollIntervalMS int  `json:"poll_interval_ms"`
	MaxWaitMS      int  `json:"max_wait_ms"`
	FirstCheckMS   int  `json:"first_check_ms"`
	NeverPoll      bool `json:"never_poll"`
	Tokens         []string
}

func suspend(ctx *stageline.Context, input suspending) (json.RawMessage, error) {
	if len(input.Tokens) > 0 {
		var tokens []string
		for _, label := range input.Tokens {
			tokens = append(tokens, ctx.ResumeToken(label, 0))
		}
		input.State["tokens"] = tokens
	}
	return nil, stageline.Suspend(stageline.Suspension{
		State:        input.State,
		PollInterval: time.Duration(input.PollIntervalMS) * time.Millisecond,
		MaxWait:      time.Duration(input.MaxWaitMS) * time.Millisecond,
		FirstCheck:   time.Duration(input.FirstCheckMS) * time.Millisecond,
		NeverPoll:    input.NeverPoll,
	})
}

type checked struct {
	Answer      string
	Output      json.RawMessage
	NextCheckMS int `json:"next_check_ms"`
	State       any
}

func check(_ *stageline.Context, state checked) (json.RawMessage, error) {
	switch state.Answer {
	case "ready":
		return state.Output, nil
	case "not-yet":
		return nil, stageline.StillWaiting(time.Duration(state.NextCheckMS)*time.Millisecond, state.State)
	}
	return nil, errors.New("the work elsewhere failed")
}

type speech struct {
	Message     string
	Lines       int
	Fields      map[string]any
	Progress    []float64
	Annotations []struct {
		Key   string
		Value any
	}
	Path string
}

func speak(ctx *stageline.Context, input speech) (struct{}, error) {
	pairs := []any{}
	for key, value := range input.Fields {
		pairs = append(pairs, key, value)
	}
	for number := range input.Lines {
		if len(input.Fields) == 0 {
			pairs = []any{"number", number}
		}
		ctx.Info(input.Message, pairs...)
	}
	for _, note := range input.Annotations {
		if err := ctx.Annotate(note.Key, note.Value); err != nil {
			return struct{}{}, err
		}
	}
	for _, fraction := range input.Progress {
		ctx.Progress(fraction, input.Message)
	}
	if input.Path != "" {
		return struct{}{}, gate(ctx, input.Path)
	}
	return struct{}{}, nil
}

func usage(ctx *stageline.Context, input struct {
	Topic       string
	InputTokens int64 `json:"input_tokens"`
	Path        string
}) (struct{}, error) {
	ctx.RecordUsage(stageline.Usage{Topic: input.Topic, Type: stageline.CallText, InputTokens: &input.InputTokens})
	if input.Path != "" {
		return struct{}{}, gate(ctx, input.Path)
	}
	return struct{}{}, nil
}
