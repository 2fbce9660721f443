package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/keystore"
)

//go:embed pages/*.html pages/parts/*.html
var pageFiles embed.FS

// pages are the pages by name: each is layout.html with a block "main" of its own, and the parts that it
// names. They hold no data but what is in view: the modules in assets/ read the rest from the API.
var pages = func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{"asset": assetURL}).
		ParseFS(pageFiles, "pages/layout.html", "pages/parts/*.html"))
	parsed := make(map[string]*template.Template)
	for _, name := range []string{"deployments", "deployment", "token", "forbidden", "notfound"} {
		parsed[name] = template.Must(template.Must(layout.Clone()).ParseFS(pageFiles, "pages/"+name+".html"))
	}
	return parsed
}()

// view is what a page is made of.
type view struct {
	User          string // "" when nobody is signed in
	Administrator bool
	Title         string
	Page          string // name of the page
	Deployment    string // ID in the path, which may be of none; "" on other pages
	Tab           string // of a Deployment's page: keys, members, audit, connect
	Reason        string // of forbidden: why
	AssetVersion  string
}

// tabs of a Deployment's page; the first is that of the page without a tab in its path.
var tabs = []string{"keys", "members", "audit", "connect"}

// page serves a page to users.
func (c *Console) page(name, title string) http.Handler {
	return c.forUsers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !admin.Allow(w, r, http.MethodGet) {
			return
		}
		c.servePage(w, r, http.StatusOK, view{Page: name, Title: title})
	}))
}

// deploymentPage serves a tab of the page of a Deployment. Whether there is such a Deployment, the API says.
func (c *Console) deploymentPage(tab string) http.Handler {
	return c.forUsers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("deployment")
		switch {
		case keystore.ValidateDeploymentID(id) != nil:
			c.serveNothing(w, r)
		case admin.Allow(w, r, http.MethodGet):
			c.servePage(w, r, http.StatusOK, view{Page: "deployment", Title: "Deployment", Deployment: id, Tab: tab})
		}
	}))
}

// serveNothing is the answer at all other paths.
func (c *Console) serveNothing(w http.ResponseWriter, r *http.Request) {
	if isAPI(r) {
		admin.WriteError(w, http.StatusNotFound, "there is nothing at this path")
		return
	}
	c.servePage(w, r, http.StatusNotFound, view{Page: "notfound", Title: "Not found"})
}

// forUsers refuses requests of nobody.
func (c *Console) forUsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := userOf(r)
		switch {
		case who.name != "":
			next.ServeHTTP(w, r)
		case isAPI(r):
			admin.WriteError(w, http.StatusForbidden, who.reason)
		default:
			c.servePage(w, r, http.StatusForbidden, view{Page: "forbidden", Title: "No access", Reason: who.reason})
		}
	})
}

func isAPI(r *http.Request) bool {
	return r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/")
}

func (c *Console) servePage(w http.ResponseWriter, r *http.Request, status int, v view) {
	who := userOf(r)
	v.User, v.Administrator, v.AssetVersion = who.name, who.administrator, assetVersion
	var page bytes.Buffer
	if err := pages[v.Page].Execute(&page, v); err != nil {
		c.logger.Error("making a page", zap.String("page", v.Page), zap.Error(err))
		http.Error(w, fmt.Sprintf("the page %s could not be made", v.Page), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // net/http leaves it out for HEAD; who has gone away reads no error
}
