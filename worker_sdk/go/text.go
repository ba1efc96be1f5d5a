package stageline

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// fieldsBytesMax is the largest details of one log line, by the protocol.
const fieldsBytesMax = 16 << 10

// cleanText makes text what protobuf and PostgreSQL store: valid UTF-8 without NUL.
func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "")
}

// cut shortens text to so many bytes, at a character, and says so.
func cut(text string, bytesMax int) string {
	const ellipsis = "…"
	if len(text) <= bytesMax {
		return text
	}
	end := max(0, bytesMax-len(ellipsis))
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// fieldsJSON makes a JSON object of pairs of keys and values; what JSON cannot show becomes text.
func fieldsJSON(pairs []any) []byte {
	if len(pairs) == 0 {
		return nil
	}
	fields := map[string]any{}
	for index := 0; index < len(pairs); index += 2 {
		key := fmt.Sprint(pairs[index])
		if index+1 == len(pairs) {
			fields["!missing"] = key
		} else if _, err := json.Marshal(pairs[index+1]); err != nil {
			fields[key] = fmt.Sprint(pairs[index+1])
		} else {
			fields[key] = pairs[index+1]
		}
	}
	text, err := encode(fields)
	if err != nil || len(text) > fieldsBytesMax {
		return fmt.Appendf(nil, `{"fields_left_out":"%d bytes, the limit is %d"}`, len(text), fieldsBytesMax)
	}
	return text
}

// newUUID returns a UUID of version 7 in text form: its order is that of time.
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[6:])
	now := uint64(time.Now().UnixMilli())
	for index := range 6 {
		id[index] = byte(now >> (40 - 8*index))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}
