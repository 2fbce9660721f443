package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// pageSize is how many items of a list are asked for at once, at most.
const pageSize = 200

// list asks for a list, page after page, up to a number of items; 0 is all. The items are in a member of
// the answers.
func (c *client) list(ctx context.Context, path, member string, most int) ([]json.RawMessage, error) {
	items := []json.RawMessage{}
	seen := make(map[string]bool) // cursors: a list that goes in a circle would never end
	for cursor := ""; ; {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}}
		if most > 0 {
			query.Set("limit", strconv.Itoa(min(pageSize, most-len(items))))
		}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		answer, err := c.ask(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
		if err != nil {
			return nil, err
		}
		var page map[string]json.RawMessage
		var found []json.RawMessage
		err = decode(answer, &page)
		if err == nil {
			err = decode(page[member], &found)
		}
		if err != nil {
			return nil, c.found.failed(err)
		}
		items = append(items, found...)
		cursor = ""
		if next, ok := page["next_cursor"]; ok {
			if err := decode(next, &cursor); err != nil {
				return nil, c.found.failed(err)
			}
		}
		switch {
		case most > 0 && len(items) >= most:
			return items[:most], nil
		case cursor == "":
			return items, nil
		case seen[cursor]:
			return nil, c.found.failed(fmt.Errorf("its list of %s has no end", member))
		}
		seen[cursor] = true
	}
}

// decode reads a part of an answer.
func decode(answer json.RawMessage, into any) error {
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("its answer is not what a gateway answers: %w", err)
	}
	return nil
}

// writeList writes a whole list as the gateway writes a page: {"keys":[...]}.
func writeList(cmd *cobra.Command, member string, items []json.RawMessage) error {
	list := bytes.NewBufferString(`{"` + member + `":[`)
	list.Write(bytes.Join(rawBytes(items), []byte(",")))
	list.WriteString("]}")
	return writeJSON(cmd, list.Bytes())
}

func rawBytes(items []json.RawMessage) [][]byte {
	all := make([][]byte, len(items))
	for i, item := range items {
		all[i] = item
	}
	return all
}

// decodeAll reads the items of a list.
func decodeAll[T any](c *client, items []json.RawMessage) ([]T, error) {
	all := make([]T, len(items))
	for i, item := range items {
		if err := decode(item, &all[i]); err != nil {
			return nil, c.found.failed(err)
		}
	}
	return all, nil
}
