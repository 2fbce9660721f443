// Command deploy-api is an example of an upstream that is told the Deployment in the body of a request: a GraphQL endpoint
// with the two mutations that CI jobs call, imageCreate and imageDeploy. The gateway in front of it says in the header
// X-Deployment-Id of which Deployment the caller's key is, and cannot see into the body. So this program compares the two,
// and that is what it is an example of. It deploys nothing: it remembers images in memory and logs what it would do.
//
// It listens where nobody but the gateway reaches it, because it believes that header.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8082", "address to listen on, for the gateway alone")
	images := flag.String("images", "localhost:8080/acme", "what stands before the Deployment in the names of images")
	flag.Parse()
	http.Handle("POST /hub/v1", newAPI(*images))
	log.Printf("deploy-api listens on %s", *listen)
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// An image is what imageCreate makes and imageDeploy deploys. Field names are those of the GraphQL type Image.
type image struct {
	ID           string `json:"id"`
	DeploymentID string `json:"deploymentId"`
	Tag          string `json:"tag"`
	Repository   string `json:"repository"`
}

// api has the images by ID.
type api struct {
	repositories string
	mu           sync.Mutex
	images       map[string]image
}

func newAPI(images string) *api {
	return &api{repositories: images + "/", images: make(map[string]image)}
}

// maxBody is far more than the two mutations need.
const maxBody = 64 << 10

// A refusal is an error with the status of its answer. It is never 200: clients take an error that comes with it for a
// success.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	field, selected, err := a.serve(r)
	if err != nil {
		status := http.StatusBadRequest
		if refused, ok := err.(*refusal); ok {
			status = refused.status
		}
		w.WriteHeader(status)
		answer(w, map[string]any{"errors": []any{map[string]string{"message": err.Error()}}})
		return
	}
	answer(w, map[string]any{"data": map[string]any{field: selected}})
}

func answer(w io.Writer, body any) {
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err) // the client is gone
	}
}

// serve answers one operation with the name of its field and what was selected of the image.
func (a *api) serve(r *http.Request) (field string, selected map[string]string, err error) {
	// One value, from the gateway. None means that somebody else has found a way here.
	caller := r.Header["X-Deployment-Id"]
	if len(caller) != 1 || caller[0] == "" {
		return "", nil, refuse(http.StatusInternalServerError, "there is no gateway before this upstream")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return "", nil, err
	}
	op, err := readOperation(body)
	if err != nil {
		return "", nil, err
	}
	var made image
	switch op.field {
	case "imageCreate":
		made, err = a.create(caller[0], op.input)
	case "imageDeploy":
		made, err = a.deploy(caller[0], op.input)
	default:
		return "", nil, fmt.Errorf("there is no mutation %s", op.field)
	}
	if err != nil {
		return "", nil, err
	}
	selected, err = made.only(op.selected)
	return op.field, selected, err
}

// create is imageCreate(input: {deploymentId, tag}).
func (a *api) create(caller string, input map[string]string) (image, error) {
	if err := wantInput(input, "deploymentId", "tag"); err != nil {
		return image{}, err
	}
	if input["deploymentId"] != caller {
		return image{}, refuse(http.StatusForbidden, "this key is of Deployment %s, and the image would be of another", caller)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	made := image{ID: fmt.Sprintf("image-%d", len(a.images)+1), DeploymentID: caller, Tag: input["tag"]}
	a.images[made.ID] = made
	return made, nil
}

// deploy is imageDeploy(input: {id, tag, repository}). Here the Deployment is in two places, and in none by name: the
// image has one, and the repository is of one.
func (a *api) deploy(caller string, input map[string]string) (image, error) {
	if err := wantInput(input, "id", "tag", "repository"); err != nil {
		return image{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	made, ok := a.images[input["id"]]
	if !ok || made.DeploymentID != caller {
		// One answer for both, so that nobody learns which images others have.
		return image{}, refuse(http.StatusForbidden, "Deployment %s has no image with this id", caller)
	}
	if input["repository"] != a.repositories+caller {
		return image{}, refuse(http.StatusForbidden, "the images of Deployment %s are in %s", caller, a.repositories+caller)
	}
	made.Tag, made.Repository = input["tag"], input["repository"]
	a.images[made.ID] = made
	log.Printf("deploying %s:%s to %s", made.Repository, made.Tag, caller)
	return made, nil
}

// wantInput holds that an input has these fields, none of them empty, and no others.
func wantInput(input map[string]string, names ...string) error {
	for _, name := range names {
		if input[name] == "" {
			return fmt.Errorf("the input has no %s", name)
		}
	}
	if len(input) != len(names) {
		return fmt.Errorf("the input has other fields than %s", strings.Join(names, ", "))
	}
	return nil
}

// only is the fields of an image that an operation selects.
func (i image) only(names []string) (map[string]string, error) {
	all := map[string]string{"id": i.ID, "deploymentId": i.DeploymentID, "tag": i.Tag, "repository": i.Repository}
	selected := make(map[string]string)
	for _, name := range names {
		value, ok := all[name]
		if !ok {
			return nil, fmt.Errorf("an image has no field %s", name)
		}
		selected[name] = value
	}
	return selected, nil
}
