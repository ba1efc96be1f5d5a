package stageline

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "stageline/sdk/gen/stageline/v1"
)

// vectors reads a file of protos/testdata, which every language reads.
func vectors[Case any](t *testing.T, name string) []Case {
	t.Helper()
	text, err := os.ReadFile("../../protos/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []Case }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%s has no cases: %v", name, err)
	}
	return file.Cases
}

func TestFramesAreReadFromTheirBytes(t *testing.T) {
	type frameCase struct {
		Name, Message, Hex string
		JSON               json.RawMessage
	}
	for _, each := range vectors[frameCase](t, "frames.json") {
		t.Run(each.Name, func(t *testing.T) {
			messages := map[string]proto.Message{"WorkerFrame": &pb.WorkerFrame{}, "ServerFrame": &pb.ServerFrame{}}
			message := messages[each.Message]
			raw, err := hex.DecodeString(each.Hex)
			if err != nil {
				t.Fatal(err)
			}
			if err := proto.Unmarshal(raw, message); err != nil {
				t.Fatal(err)
			}
			text, err := protojson.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, text, each.JSON) {
				t.Errorf("read %s, expected %s", text, each.JSON)
			}
		})
	}
}

func TestInputsAreAssembled(t *testing.T) {
	type inputCase struct {
		Name            string
		AcceptsAnyInput bool     `json:"accepts_any_input"`
		InputStageIDs   []string `json:"input_stage_ids"`
		Outputs         map[string]json.RawMessage
		RunInput        json.RawMessage `json:"run_input"`
		Input           json.RawMessage
	}
	for _, each := range vectors[inputCase](t, "input_assembly.json") {
		if each.AcceptsAnyInput {
			continue // This SDK declares no such stages.
		}
		t.Run(each.Name, func(t *testing.T) {
			offer := &pb.JobOffer{InputStageIds: each.InputStageIDs, Outputs: map[string]*pb.Payload{}}
			for id, output := range each.Outputs {
				offer.Outputs[id] = jsonPayload(output)
			}
			if each.RunInput != nil {
				offer.RunInput = jsonPayload(each.RunInput)
			}
			input, err := buildInput(newContext(t.Context(), offer, nil, nil))
			if err != nil || !sameJSON(t, input, each.Input) {
				t.Errorf("built %s (%v), expected %s", input, err, each.Input)
			}
		})
	}
}

func sameJSON(t *testing.T, left, right []byte) bool {
	t.Helper()
	var one, other any
	if json.Unmarshal(left, &one) != nil || json.Unmarshal(right, &other) != nil {
		t.Fatalf("no JSON: %s or %s", left, right)
	}
	return reflect.DeepEqual(one, other)
}
