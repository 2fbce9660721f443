package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/access"
	"github.com/deploymentkeys/gateway/keystore"
)

const (
	fuzzRequests = 2_000
	fuzzPatience = 10 * time.Second // on a machine that is busy

	// fuzzSeedVariable is another seed than fuzzSeed.
	fuzzSeedVariable = "DEPLOYMENT_KEYS_FUZZ_SEED"
	fuzzSeed         = 1
)

// Requests that are made from the document, and spoiled ones, get answers that are in the document:
// good ones are accepted, others are refused, nothing is a fault, and no secret is told.
func TestAPIDocumentFuzzed(t *testing.T) {
	seed := uint64(fuzzSeed)
	if text := os.Getenv(fuzzSeedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", fuzzSeedVariable, seed)
	gateway := startTestGateway(t)
	d := readAPIDocument(t)
	f := &fuzzer{d: d, api: gateway.api, generator: generator{d: d, random: rand.New(rand.NewPCG(seed, 0))}}
	f.begin(t, gateway)
	deadline := time.Now().Add(fuzzPatience)
	sent := 0
	for ; sent < fuzzRequests && time.Now().Before(deadline); sent++ {
		q := f.request()
		if err := f.send(q); err != nil {
			t.Errorf("request %d, %s: %v", sent, q, err)
		}
		if t.Failed() && sent%100 == 99 {
			break
		}
	}
	accepted, refused := 0, 0
	for _, o := range d.operations {
		for status := range o.answers {
			if d.seen[fmt.Sprint(o, " ", status)] {
				if status < 300 {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	t.Logf("%d requests; %d of %d operations were accepted, %d kinds of refusals were answered", sent, accepted, len(d.operations), refused)
	if sent > fuzzRequests/10 && (accepted < len(d.operations)*3/4 || refused < len(d.operations)) {
		t.Error("that is too little to say anything")
	}
}

// A fuzzer makes requests, and remembers what it has made with them.
type fuzzer struct {
	generator
	d   *apiDocument
	api http.Handler

	deployments, keys, cursors []string // keys are paths of their own
	tokens, secrets            []string
}

// A fuzzRequest is one, with whether the document accepts it.
type fuzzRequest struct {
	operation                         *operation // nil: another method, or another path
	method, target, contentType, body string
	good                              bool
}

func (q *fuzzRequest) String() string {
	return fmt.Sprintf("%s %.300q, type %q, body of %d bytes %.300q", q.method, q.target, q.contentType, len(q.body), q.body)
}

// begin makes what there is from the beginning.
func (f *fuzzer) begin(t *testing.T, gateway *testGateway) {
	t.Helper()
	for _, id := range []string{siteDeployment, "other"} {
		answered(t, f.api, "POST", "/deployments", `{"id":"`+id+`","name":"n"}`, http.StatusCreated)
		f.deployments = append(f.deployments, id)
		key := answered(t, f.api, "POST", "/deployments/"+id+"/keys", `{"name":"n"}`, http.StatusCreated)
		secret := fmt.Sprint(key["secret"])
		f.keys = append(f.keys, fmt.Sprint(id, "/keys/", key["id"]))
		f.secrets = append(f.secrets, secret)
		f.tokens = append(f.tokens, gateway.token(t, fmt.Sprint(key["id"]), secret))
	}
	f.tokens = append(f.tokens, gateway.userToken(t))
	f.secrets = append(f.secrets, f.tokens...)
}

// request makes one, which is as documented in half of the cases.
func (f *fuzzer) request() *fuzzRequest {
	o := pick(f.random, f.d.operations...)
	if o.method == http.MethodDelete && f.random.IntN(2) == 0 {
		o = pick(f.random, f.d.operations...) // that something remains
	}
	q := &fuzzRequest{operation: o, method: o.method, good: true}
	q.target = f.path(o)
	var query []string
	for _, parameter := range o.parameters {
		if parameter.in == "query" && f.random.IntN(2) == 0 {
			query = append(query, parameter.name+"="+url.QueryEscape(f.parameter(parameter)))
			// What is in a cursor the document does not say.
			q.good = q.good && parameter.name != "cursor"
		}
	}
	var body any
	if o.body != nil && (o.body.required || f.random.IntN(2) == 0) {
		body = f.value(o.body.schema)
		if made, ok := body.(jsonObject); ok && made["token"] != nil && f.random.IntN(3) > 0 {
			made["token"] = pick(f.random, f.tokens...)
		}
		encoded, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		q.body, q.contentType = string(encoded), pick(f.random, "application/json", "application/json; charset=utf-8", "Application/JSON")
	}
	if f.random.IntN(2) == 0 {
		q.good = false
		switch f.random.IntN(6) {
		case 0:
			q.method = pick(f.random, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X-A")
		case 1:
			q.target = f.spoilPath(q.target)
		case 2:
			name := pick(f.random, "limit", "cursor", "deployment", "Limit", "a", "")
			query = append(query, pick(f.random, name+"="+url.QueryEscape(f.oddText()), name, "&&", "%zz=1", "a;b=c", name+"="+f.oddCursor()))
		case 3:
			q.contentType = pick(f.random, "", "text/plain", "application/x-www-form-urlencoded", "application/json; =", "application/problem+json", "*/*", "application/json, text/plain", "\"")
		default:
			if o.body != nil {
				q.body, q.contentType = f.spoil(body, o.body.schema), "application/json"
			} else {
				q.body, q.contentType = f.oddText(), pick(f.random, "", "application/json", "text/plain")
			}
		}
	}
	if len(query) > 0 {
		q.target += "?" + strings.Join(query, "&")
	}
	return q
}

// path is one of the operation: of what is there, as a rule.
func (f *fuzzer) path(o *operation) string {
	values := make(map[string]string)
	for _, parameter := range o.parameters {
		if parameter.in == "path" {
			values[parameter.name] = f.parameter(parameter)
		}
	}
	if _, ok := values["key"]; ok && len(f.keys) > 0 && f.random.IntN(5) > 0 {
		of, id, _ := strings.Cut(pick(f.random, f.keys...), "/keys/")
		values["deployment"], values["key"] = of, id
	}
	return fill(o.path, values)
}

// parameter is a value as documented; where it names something, often of something that is there.
func (f *fuzzer) parameter(p documentedParameter) string {
	switch {
	case p.name == "deployment" && len(f.deployments) > 0 && f.random.IntN(5) > 0:
		return pick(f.random, f.deployments...)
	case p.name == "cursor" && len(f.cursors) > 0 && f.random.IntN(4) > 0:
		return pick(f.random, f.cursors...)
	}
	return fmt.Sprint(f.value(p.schema))
}

func (f *fuzzer) spoilPath(path string) string {
	segments := strings.Split(path, "/")
	i := 1 + f.random.IntN(len(segments)-1)
	switch f.random.IntN(4) {
	case 0:
		segments[i] = url.PathEscape(f.oddText())
	case 1:
		segments[i] = pick(f.random, "", ".", "..", "%2e%2e", "%2F", "%00", "%ff", "%5c", "a;b", ".anna", "%64eployments", strings.ToUpper(segments[i]), segments[i]+"%20")
	case 2:
		segments = slices.Insert(segments, i, pick(f.random, "", ".", "..", "a", "-", "keys", "ready"))
	case 3:
		segments = slices.Delete(segments, i, i+1)
	}
	path = strings.Join(segments, "/")
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return "/" + strings.TrimLeft(path, "/")
	}
	return path
}

func (f *fuzzer) oddCursor() string {
	return cursorOf(pick(f.random, "etl", "000000000000000000000000", "ffffffffffffffff", "0000000000000000", "a/b", "\x00", "keys/etl", f.oddText()))
}

// send makes a request and holds its answer against the document.
func (f *fuzzer) send(q *fuzzRequest) error {
	if _, err := url.ParseRequestURI(q.target); err != nil {
		return nil // net/http answers this
	}
	r := apiRequest(q.method, q.target, q.contentType, q.body)
	w, err := sendAPI(f.api, r)
	if err != nil {
		return err
	}
	if err := f.d.check(q.method, r.URL.EscapedPath(), w); err != nil {
		return err
	}
	o, _ := f.d.find(q.method, r.URL.EscapedPath())
	if err := f.accepted(q, o, w.Code, w.Body.String()); err != nil {
		return err
	}
	var answer jsonObject
	if json.Unmarshal(w.Body.Bytes(), &answer) != nil {
		return f.keepsSecrets("", w.Body.String())
	}
	secret, _ := answer["secret"].(string)
	if err := f.keepsSecrets(secret, w.Body.String()); err != nil {
		return err
	}
	f.learn(o, q, w.Code, answer)
	return nil
}

// accepted says whether what the document accepts was accepted, and nothing else.
func (f *fuzzer) accepted(q *fuzzRequest, o *operation, status int, answer string) error {
	if status >= http.StatusInternalServerError {
		return fmt.Errorf("%d, and nothing is wrong with the store: %s", status, answer)
	}
	if q.good && (status == http.StatusBadRequest || status >= http.StatusRequestEntityTooLarge) && !strings.Contains(answer, "limit reached") {
		// The one bound that JSON Schema cannot say: 256 bytes of UTF-8.
		if strings.HasPrefix(answer, `{"error":"user `) {
			return nil
		}
		return fmt.Errorf("%d, and it is as documented: %s", status, answer)
	}
	if o != nil && o.body != nil && status < 300 && (q.body != "" || o.body.required) && !f.d.accepts(o.body, q.body) {
		return fmt.Errorf("%d, and the body is not as documented: %s", status, answer)
	}
	return nil
}

// keepsSecrets holds that an answer has no secret but the one that it tells.
func (f *fuzzer) keepsSecrets(told, answer string) error {
	rest := answer
	if told != "" {
		rest = strings.Replace(answer, told, "", 1)
	}
	for _, secret := range append([]string{keystore.SecretPrefix}, f.secrets...) {
		if strings.Contains(rest, secret) {
			return fmt.Errorf("a secret is in the answer %s", answer)
		}
	}
	return nil
}

// mostRemembered bounds what a fuzzer goes on with.
const mostRemembered = 20

func (f *fuzzer) learn(o *operation, q *fuzzRequest, status int, answer jsonObject) {
	remember := func(list *[]string, value any) {
		if text, ok := value.(string); ok && len(*list) < mostRemembered {
			*list = append(*list, text)
		}
	}
	remember(&f.cursors, answer["next_cursor"])
	remember(&f.secrets, answer["secret"])
	if o == nil || status != http.StatusCreated {
		return
	}
	switch o.path {
	case "/deployments":
		remember(&f.deployments, answer["id"])
	case "/deployments/{deployment}/keys":
		remember(&f.keys, fmt.Sprint(answer["deployment_id"], "/keys/", answer["id"]))
	}
}

// FuzzAPIDocument takes any request. What it is answered is in the document.
func FuzzAPIDocument(f *testing.F) {
	d := readAPIDocument(f)
	api := newAPI(f, func(a *API) {
		withTokens(explainingTokens{new(fakeTokens)})(a)
		a.Ready = func(context.Context) (time.Duration, bool, error) { return time.Second, true, nil }
	})
	requests := &fuzzer{d: d, api: api, generator: generator{d: d, random: rand.New(rand.NewPCG(fuzzSeed, 0))}}
	if w := httpCreated(api); w != "" {
		f.Fatal(w)
	}
	requests.deployments, requests.tokens = []string{siteDeployment}, []string{"good"}
	for range 200 {
		q := requests.request()
		f.Add(q.method, q.target, q.contentType, q.body)
	}
	f.Fuzz(func(t *testing.T, method, target, contentType, body string) {
		if !isToken(method) || !strings.HasPrefix(target, "/") {
			return // net/http answers these
		}
		if address, err := url.ParseRequestURI(target); err != nil || address.Host != "" || strings.ContainsAny(target, " \r\n") {
			return
		}
		q := &fuzzRequest{method: method, target: target, contentType: contentType, body: body}
		if err := requests.send(q); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	})
}

// explainingTokens explains as the gateway does, in all checks.
type explainingTokens struct{ *fakeTokens }

func (explainingTokens) Explain(context.Context, string, string, keystore.Scopes, netip.Addr) access.Explanation {
	explained := access.Explanation{Verdict: "accepted"}
	for range 10 {
		explained.Checks = append(explained.Checks, access.ExplainedCheck{Check: "form", Result: "passed"})
	}
	return explained
}

func httpCreated(api http.Handler) string {
	w, err := sendAPI(api, apiRequest("POST", "/deployments", "application/json", `{"id":"`+siteDeployment+`","name":"n"}`))
	if err != nil || w.Code != http.StatusCreated {
		return fmt.Sprint(err, w)
	}
	return ""
}

// isToken says whether a text may be a method (RFC 9110 section 5.6.2).
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
