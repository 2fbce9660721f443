package admin

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

// A cursorList is one list of a store that is filled, as it is without a cursor.
type cursorList struct {
	api        http.Handler
	path       string
	name       string                       // of the list in an answer
	place      func(item jsonObject) string // of an item in the order of the list
	belongs    func(item jsonObject) bool   // to what is asked for
	form       *regexp.Regexp               // of a place
	whole      []string                     // the places, in order
	readOfEach int64                        // how much is read of the store for an item
}

// FuzzCursor pages through a store that is filled, with any cursor. A cursor that is the one text of a place of the kind
// that is listed gives exactly what comes after that place in the list that was asked for; any other one is refused. What
// is read of the store depends on the limit, and on nothing else.
func FuzzCursor(f *testing.F) {
	store, lists := cursorLists(f)
	for i, list := range lists {
		for _, place := range append(slices.Clone(list.whole), "", "zz", "etl", "dep1\n", "0000000000000000", "ffffffffffffffff", "fffffffffffffffF", "000000000000000000000000", "vvvvvvvvvvvvvvvvvvvvvvvv", "used/x", "d03/keys", "\x00", "%") {
			f.Add(uint8(i), place, true, 2)
		}
		for _, cursor := range []string{"", "=", "ZDAx", "ZDAx=", "ZDAx\n", "ZD\nAx", "ZDAy", "ZDAx ", "ZDB", "Z", "+/+/", "-_-_", "ZDAx&cursor=ZDAy", "ZGVwMQ", "ZGVwMR"} {
			f.Add(uint8(i), cursor, false, 0)
		}
		f.Add(uint8(i), "d01", true, -1)
		f.Add(uint8(i), "d01", true, 500)
		f.Add(uint8(i), "d01", true, 501)
	}
	f.Fuzz(func(t *testing.T, which uint8, cursor string, encode bool, limit int) {
		list := lists[int(which)%len(lists)]
		if encode {
			cursor = base64.RawURLEncoding.EncodeToString([]byte(cursor))
		}
		query := url.Values{"cursor": {cursor}}
		if limit != 0 {
			query.Set("limit", strconv.Itoa(limit))
		}
		store.read.Store(0)
		store.changes.Store(0)
		w, err := sendAPI(list.api, apiRequest("GET", list.path+"?"+query.Encode(), "", ""))
		if err != nil {
			t.Fatal(err)
		}
		read := store.read.Load()
		if store.changes.Load() != 0 {
			t.Fatal("a list has made a change")
		}

		place, ok := placeBy(cursor, list.form)
		ok = ok && limit >= 0 && limit <= 500
		if !ok && w.Code == http.StatusBadRequest {
			if read > 10 {
				t.Fatalf("%d records were read for a cursor that is refused", read)
			}
			return
		}
		if !ok || w.Code != http.StatusOK {
			t.Fatalf("%s with the cursor %q and limit %d: %d %s; it is one of this list: %t", list.path, cursor, limit, w.Code, w.Body, ok)
		}
		if limit == 0 {
			limit = 100
		}
		want := list.whole[len(list.whole):]
		if i := slices.IndexFunc(list.whole, func(of string) bool { return of > place }); i >= 0 {
			want = list.whole[i:]
		}
		next := ""
		if len(want) > limit {
			want = want[:limit]
			next = base64.RawURLEncoding.EncodeToString([]byte(want[limit-1]))
		}
		got, gotNext := list.read(t, w.Body.Bytes())
		if !slices.Equal(got, want) || gotNext != next {
			t.Fatalf("%s after %q: %q and then %q, want %q and then %q", list.path, place, got, gotNext, want, next)
		}
		if most := list.readOfEach*int64(min(limit, len(list.whole))+1) + 10; read > most {
			t.Fatalf("%s with limit %d: %d records were read, want at most %d", list.path, limit, read, most)
		}
	})
}

// placeBy reads a cursor: base64url in its one form, of a place.
func placeBy(cursor string, form *regexp.Regexp) (string, bool) {
	if !regexp.MustCompile(`^[-_A-Za-z0-9]*$`).MatchString(cursor) {
		return "", false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(cursor)
	again := base64.RawURLEncoding.EncodeToString(decoded)
	return string(decoded), err == nil && again == cursor && form.Match(decoded)
}

func (l *cursorList) read(tb testing.TB, body []byte) (places []string, next string) {
	tb.Helper()
	var answer struct {
		Lists map[string]json.RawMessage `json:"-"`
		Next  string                     `json:"next_cursor"`
	}
	var items []jsonObject
	if err := json.Unmarshal(body, &answer.Lists); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(answer.Lists[l.name], &items); err != nil {
		tb.Fatalf("%s: %v in %s", l.path, err, body)
	}
	for _, item := range items {
		if !l.belongs(item) {
			tb.Fatalf("%s has %v", l.path, item)
		}
		places = append(places, l.place(item))
	}
	return places, answer.Next
}

// cursorLists fills a store: twelve Deployments, two of which have keys, a user who is a member of three, and the audit log
// of all that.
func cursorLists(f *testing.F) (*countedStore, []*cursorList) {
	f.Helper()
	store := &countedStore{Store: newStore(f)}
	keys := keystore.New(store, master)
	ctx := f.Context()
	must := func(err error) {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
	}
	for i := range 12 {
		_, err := keys.CreateDeployment(ctx, anna, keystore.Deployment{ID: fmt.Sprintf("d%02d", i), Name: "n"})
		must(err)
	}
	for i := range 10 {
		_, _, err := keys.CreateKey(ctx, anna, keystore.Key{DeploymentID: []string{"d03", "d04"}[i%2], Name: "n"})
		must(err)
	}
	for _, deployment := range []string{"d01", "d03", "d05"} {
		_, err := keys.PutMember(ctx, anna, deployment, "bob", keystore.RoleViewer)
		must(err)
	}
	_, _, err := keys.WriteAudit(ctx, nil)
	must(err)

	text := func(name string) func(jsonObject) string {
		return func(item jsonObject) string { return fmt.Sprint(item[name]) }
	}
	is := func(name, want string) func(jsonObject) bool {
		return func(item jsonObject) bool { return want == "" || item[name] == want }
	}
	seq := func(item jsonObject) string { return keystore.AuditPlace(uint64(item["seq"].(float64))) }
	label, keyID, place := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`), regexp.MustCompile(`^[0-9a-v]{24}$`), regexp.MustCompile(`^[0-9a-f]{16}$`)
	all, bob := apiOn(f, keys, nil), apiOn(f, keys, &Subject{User: "bob"})
	lists := []*cursorList{
		{api: all, path: "/deployments", name: "deployments", place: text("id"), belongs: is("id", ""), form: label, readOfEach: 2},
		{api: bob, path: "/deployments", name: "deployments", place: text("id"), belongs: is("role", "viewer"), form: label, readOfEach: 3},
		{api: all, path: "/deployments/d03/keys", name: "keys", place: text("id"), belongs: is("deployment_id", "d03"), form: keyID, readOfEach: 3},
		{api: all, path: "/deployments/d04/keys", name: "keys", place: text("id"), belongs: is("deployment_id", "d04"), form: keyID, readOfEach: 3},
		{api: all, path: "/audit", name: "events", place: seq, belongs: is("kind", ""), form: place, readOfEach: 2},
		{api: all, path: "/deployments/d03/audit", name: "events", place: seq, belongs: is("deployment", "d03"), form: place, readOfEach: 2},
	}
	for i, sizes := range []int{12, 3, 5, 5, 26, 7} {
		w, err := sendAPI(lists[i].api, apiRequest("GET", lists[i].path+"?limit=500", "", ""))
		must(err)
		lists[i].whole, _ = lists[i].read(f, w.Body.Bytes())
		if len(lists[i].whole) != sizes || !slices.IsSorted(lists[i].whole) {
			f.Fatalf("%s has %q, want %d", lists[i].path, lists[i].whole, sizes)
		}
	}
	return store, lists
}
