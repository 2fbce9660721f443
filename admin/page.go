package admin

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/deploymentkeys/gateway/keystore"
)

const defaultLimit = 100

// readPage reads limit and cursor. A cursor is where the page before ended; it comes back from
// a caller who may have made it up, so what is in it must be an ID of the kind that is listed,
// and it means nothing but a place in an order.
func readPage(r *http.Request, valid func(id string) bool) (keystore.Page, error) {
	page := keystore.Page{Limit: defaultLimit}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return page, badRequest("the query of the URL is malformed")
	}
	for name, values := range query {
		if len(values) > 1 {
			return page, badRequest(fmt.Sprintf("%s is there more than once", name))
		}
		switch name {
		case "limit":
			page.Limit, err = strconv.Atoi(values[0])
			if err != nil || page.Limit < 1 || page.Limit > keystore.MaxPage {
				return page, badRequest(fmt.Sprintf("limit must be a number from 1 to %d", keystore.MaxPage))
			}
		case "cursor":
			id, err := base64.RawURLEncoding.DecodeString(values[0])
			// The decoder passes over line breaks and spare bits: of a place one cursor is accepted, the one that was given.
			if err != nil || !valid(string(id)) || cursorOf(string(id)) != values[0] {
				return page, badRequest("cursor is not one that this list gave: begin again without it")
			}
			page.After = string(id)
		default:
			return page, badRequest(fmt.Sprintf("unknown parameter %q: use limit and cursor", name))
		}
	}
	return page, nil
}

// cursorOf is the cursor of the page after the one that ended with id.
func cursorOf(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(id))
}

func nextCursor[T any](list keystore.List[T]) string {
	if list.Next == "" {
		return ""
	}
	return cursorOf(list.Next)
}
