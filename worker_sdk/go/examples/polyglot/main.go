// The Go part of the example of one workflow in three languages: see examples/polyglot.py, which registers it.
//
//	go run ./examples/polyglot              # serves the stage `count`
//	go run ./examples/polyglot run "a text" # starts a run, and waits for it
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	stageline "stageline/sdk"
)

type text struct {
	Body string `json:"body"`
}

type counts struct {
	Words int `json:"words"`
	Lines int `json:"lines"`
}

func count(ctx *stageline.Context, input text) (counts, error) {
	if strings.TrimSpace(input.Body) == "" {
		return counts{}, stageline.Final(errors.New("there is nothing to count"))
	}
	ctx.Info("counting", "characters", len(input.Body))
	ctx.Progress(0.5, "half way")
	return counts{len(strings.Fields(input.Body)), strings.Count(input.Body, "\n") + 1}, nil
}

func main() {
	work := serve
	if len(os.Args) == 3 && os.Args[1] == "run" {
		work = func() error { return start(os.Args[2]) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	worker, err := stageline.NewWorker(stageline.WorkerOptions{
		Name:      "polyglot-go",
		Workflows: []*stageline.Workflow{stageline.Remote("polyglot", stageline.NewStage("count", count))},
	})
	if err != nil {
		return err
	}
	return worker.RunUntilSignal()
}

func start(body string) error {
	client, err := stageline.NewClient(stageline.ConnectOptions{}, "")
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	run, err := client.RunAndWait(context.Background(), "polyglot", map[string]string{"body": body}, stageline.RunOptions{})
	if err != nil {
		return err
	}
	fmt.Println(run.State, string(run.Output), run.Error)
	return nil
}
