package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	createQuery = `mutation imageCreate(\n    $input: ImageCreateInput!\n) {\n    imageCreate (\n    input: $input\n) {\n    id\n    tag\n    repository\n    deploymentId\n  }\n}`
	deployQuery = `mutation imageDeploy($input: ImageDeployInput!) { imageDeploy(input: $input) { id, tag, repository } }`
)

// body is a request of a query, which is written as in JSON, and an input.
func body(query, input string) string {
	return `{"query":"` + query + `","variables":{"input":` + input + `}}`
}

// send sends a request as the gateway would pass it on for a key of etl.
func send(t *testing.T, a *api, body string, headers ...string) (status int, answer string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hub/v1", strings.NewReader(body))
	request.Header["X-Deployment-Id"] = headers
	recorder := httptest.NewRecorder()
	a.ServeHTTP(recorder, request)
	if !json.Valid(recorder.Body.Bytes()) {
		t.Fatalf("the answer is not JSON: %s", recorder.Body)
	}
	return recorder.Code, strings.TrimSpace(recorder.Body.String())
}

func TestDeployAPI(t *testing.T) {
	a := newAPI("registry.example.com/acme")
	const repository = "registry.example.com/acme/"
	tests := []struct {
		name, body, caller string
		status             int
		answer             string
	}{
		{
			"create", body(createQuery, `{"deploymentId":"etl","tag":"deploy-1"}`), "etl", 200,
			`{"data":{"imageCreate":{"deploymentId":"etl","id":"image-1","repository":"","tag":"deploy-1"}}}`,
		},
		{
			"deploy", body(deployQuery, `{"id":"image-1","tag":"deploy-1","repository":"`+repository+`etl"}`), "etl", 200,
			`{"data":{"imageDeploy":{"id":"image-1","repository":"` + repository + `etl","tag":"deploy-1"}}}`,
		},
		{"create for another", body(createQuery, `{"deploymentId":"billing","tag":"x"}`), "etl", 403, ""},
		{"create in other capitals", body(createQuery, `{"deploymentId":"ETL","tag":"x"}`), "etl", 403, ""},
		{"deploy an image of another", body(deployQuery, `{"id":"image-1","tag":"x","repository":"`+repository+`billing"}`), "billing", 403, ""},
		{"deploy from a repository of another", body(deployQuery, `{"id":"image-1","tag":"x","repository":"`+repository+`billing"}`), "etl", 403, ""},
		{"deploy from another registry", body(deployQuery, `{"id":"image-1","tag":"x","repository":"evil.example.com/acme/etl"}`), "etl", 403, ""},
		{"deploy what is not there", body(deployQuery, `{"id":"image-9","tag":"x","repository":"`+repository+`etl"}`), "etl", 403, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, answer := send(t, a, test.body, test.caller)
			if status != test.status || (test.answer != "" && answer != test.answer) {
				t.Errorf("status %d, want %d: %s", status, test.status, answer)
			}
		})
	}
	if made := a.images["image-1"]; len(a.images) != 1 || made.DeploymentID != "etl" || made.Repository != repository+"etl" {
		t.Errorf("the images are %+v", a.images)
	}
}

// Each of these says etl in one place and billing in another, or could. None may do anything.
func TestRequestsWithTwoReadingsAreRefused(t *testing.T) {
	const own, foreign = `{"deploymentId":"etl","tag":"x"}`, `{"deploymentId":"billing","tag":"x"}`
	ok := body(createQuery, own)
	query := func(text string) string { return body(text, own) }
	for name, text := range map[string]string{
		"batched array":               "[" + ok + "," + body(createQuery, foreign) + "]",
		"array of one":                "[" + ok + "]",
		"two bodies":                  ok + body(createQuery, foreign),
		"empty":                       "",
		"not JSON":                    "mutation",
		"not UTF-8":                   body(createQuery, "{\"deploymentId\":\"etl\",\"tag\":\"\xff\"}"),
		"duplicate deploymentId":      body(createQuery, `{"deploymentId":"etl","deploymentId":"billing","tag":"x"}`),
		"duplicate by an escape":      body(createQuery, `{"deploymentId":"etl","deployment\u0049d":"billing","tag":"x"}`),
		"duplicate input":             `{"query":"` + createQuery + `","variables":{"input":` + own + `,"input":` + foreign + `}}`,
		"duplicate variables":         `{"query":"` + createQuery + `","variables":{"input":` + own + `},"variables":{"input":` + foreign + `}}`,
		"duplicate query":             `{"query":"` + createQuery + `","query":"` + deployQuery + `","variables":{"input":` + own + `}}`,
		"another case beside":         body(createQuery, `{"deploymentId":"etl","DeploymentId":"billing","tag":"x"}`),
		"another case alone":          body(createQuery, `{"deploymentID":"etl","tag":"x"}`),
		"Variables beside":            `{"query":"` + createQuery + `","variables":{"input":` + own + `},"Variables":{"input":` + foreign + `}}`,
		"Query alone":                 `{"Query":"` + createQuery + `","variables":{"input":` + own + `}}`,
		"long s beside":               `{"query":"` + createQuery + `","variables":{"input":` + own + `},"variable\u017f":{"input":` + foreign + `}}`,
		"second variable":             `{"query":"` + createQuery + `","variables":{"input":` + own + `,"other":` + foreign + `}}`,
		"list of inputs":              body(createQuery, "["+own+","+foreign+"]"),
		"object for an id":            body(createQuery, `{"deploymentId":{"eq":"etl"},"tag":"x"}`),
		"list for an id":              body(createQuery, `{"deploymentId":["etl","billing"],"tag":"x"}`),
		"null":                        body(createQuery, `{"deploymentId":null,"tag":"x"}`),
		"empty id":                    body(createQuery, `{"deploymentId":"","tag":"x"}`),
		"no id":                       body(createQuery, `{"tag":"x"}`),
		"more fields":                 body(createQuery, `{"deploymentId":"etl","tag":"x","force":"yes"}`),
		"deep":                        body(createQuery, strings.Repeat("[", 1000)+strings.Repeat("]", 1000)),
		"two operations":              query(createQuery + " " + deployQuery),
		"two operations and a name":   strings.Replace(query(createQuery+" "+deployQuery), "{", `{"operationName":"imageDeploy",`, 1),
		"another operationName":       strings.Replace(ok, "{", `{"operationName":"imageDeploy",`, 1),
		"two fields":                  query(`mutation m($input: I!) { imageCreate(input: $input) { id } imageDeploy(input: $input) { id } }`),
		"alias":                       query(`mutation m($input: I!) { imageDeploy: imageCreate(input: $input) { id } }`),
		"alias beside":                query(`mutation m($input: I!) { imageCreate(input: $input) { id } b: imageCreate(input: {deploymentId: \"billing\", tag: \"x\"}) { id } }`),
		"literal":                     query(`mutation m { imageCreate(input: {deploymentId: \"billing\", tag: \"x\"}) { id } }`),
		"literal beside the variable": query(`mutation m($input: I!) { imageCreate(input: {deploymentId: \"billing\", tag: \"x\"}) { id } }`),
		"default":                     query(`mutation m($input: I! = {deploymentId: \"billing\"}) { imageCreate(input: $input) { id } }`),
		"another variable":            query(`mutation m($input: I!) { imageCreate(input: $other) { id } }`),
		"argument twice":              query(`mutation m($input: I!) { imageCreate(input: $input, input: $input) { id } }`),
		"fragment":                    query(`mutation m($input: I!) { ...f } fragment f on Mutation { imageCreate(input: $input) { id } }`),
		"directive":                   query(`mutation m($input: I!) { imageCreate(input: $input) @skip(if: true) { id } }`),
		"comment":                     query(`mutation m($input: I!) { # imageDeploy\n imageCreate(input: $input) { id } }`),
		"query":                       query(`query q($input: I!) { imageCreate(input: $input) { id } }`),
		"unknown field":               query(`mutation m($input: I!) { deploymentDelete(input: $input) { id } }`),
		"field in another case":       query(`mutation m($input: I!) { ImageCreate(input: $input) { id } }`),
		"persisted query":             strings.Replace(ok, "{", `{"extensions":{"persistedQuery":{}},`, 1),
		"larger than any":             strings.Replace(ok, "{", "{"+strings.Repeat(" ", maxBody), 1),
		"variables as text":           `{"query":"` + createQuery + `","variables":"{\"input\":{\"deploymentId\":\"etl\",\"tag\":\"x\"}}"}`,
		"query string in the form":    "query=" + createQuery,
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI("registry.example.com/acme")
			if status, answer := send(t, a, text, "etl"); status != http.StatusBadRequest {
				t.Errorf("status %d, want 400: %s", status, answer)
			}
			if len(a.images) > 0 {
				t.Errorf("it made %+v", a.images)
			}
		})
	}
	t.Run("what they all begin with is served", func(t *testing.T) {
		if status, answer := send(t, newAPI("x"), ok, "etl"); status != http.StatusOK {
			t.Errorf("status %d: %s", status, answer)
		}
	})
}

func TestNobodyButTheGateway(t *testing.T) {
	a := newAPI("x")
	ok := body(createQuery, `{"deploymentId":"","tag":"x"}`)
	for name, headers := range map[string][]string{"none": nil, "empty": {""}, "two": {"etl", "billing"}} {
		if status, answer := send(t, a, ok, headers...); status != http.StatusInternalServerError {
			t.Errorf("%s: status %d: %s", name, status, answer)
		}
	}
}
