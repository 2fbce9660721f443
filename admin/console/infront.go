package console

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// This file finds out whether anything in front of the console can sign users in. Caddy provisions the
// handlers of a list of routes in their order, so those in front of the one that is being provisioned are
// there, and tells that one by the modules that lead to it.
//
// It is for people who forget the authentication: what it finds may still let a request pass without a
// user, who then is refused. Where it cannot look, it says yes.

const (
	consoleName     = "deployment_console"
	userPlaceholder = "http.auth.user.id"
)

// authenticatedBefore reports whether a handler in front of the console that is being provisioned may sign
// users in.
func authenticatedBefore(ctx caddy.Context) bool {
	found := false
	for _, module := range ctx.Modules() {
		switch module := module.(type) {
		case *caddyhttp.App:
			for _, server := range module.Servers {
				if front, here := inFront(server.Routes); here {
					found = true
					if front {
						return true
					}
				}
			}
		case *caddyhttp.Subroute:
			front, here := inFront(module.Routes)
			if front || !here {
				return true
			}
		}
	}
	// Of a named route it is not known who invokes it.
	return !found
}

// inFront looks through the routes before the one that is being provisioned, and through the handlers
// before the one with the console in it. here is false when the console is not in these routes.
func inFront(routes caddyhttp.RouteList) (signsIn, here bool) {
	current := slices.IndexFunc(routes, func(route caddyhttp.Route) bool {
		return len(route.HandlersRaw) > 0 && len(route.Handlers) == 0
	})
	if current < 0 {
		return false, false
	}
	console := slices.IndexFunc(routes[current].HandlersRaw, func(raw json.RawMessage) bool {
		return bytes.Contains(raw, []byte(consoleName))
	})
	if console < 0 {
		return false, false
	}
	signsIn = slices.ContainsFunc(routes[current].HandlersRaw[:console], rawSignsIn)
	group := routes[current].Group
	return signsIn || anyRouteSignsIn(routes[:current], group), true
}

// anyRouteSignsIn looks through routes that come before one of a group. Of a group one route is taken, and
// after a terminal one none.
func anyRouteSignsIn(routes caddyhttp.RouteList, group string) bool {
	return slices.ContainsFunc(routes, func(route caddyhttp.Route) bool {
		if route.Terminal || (group != "" && route.Group == group) {
			return false
		}
		return slices.ContainsFunc(route.Handlers, handlerSignsIn)
	})
}

func handlerSignsIn(handler caddyhttp.MiddlewareHandler) bool {
	switch handler := handler.(type) {
	case *caddyhttp.Subroute:
		return anyRouteSignsIn(handler.Routes, "")
	case *reverseproxy.Handler:
		// What forward_auth is made of: after the answer of the other server its routes go on.
		return slices.ContainsFunc(handler.HandleResponse, func(answer caddyhttp.ResponseHandler) bool {
			return anyRouteSignsIn(answer.Routes, "")
		})
	}
	module, ok := handler.(caddy.Module)
	if !ok {
		return true
	}
	config, err := json.Marshal(handler)
	return err != nil || maySignIn(module.CaddyModule(), config)
}

// rawSignsIn is for a handler that is in the same route and was not made yet.
func rawSignsIn(raw json.RawMessage) bool {
	var named struct {
		Handler string `json:"handler"`
	}
	if err := json.Unmarshal(raw, &named); err != nil {
		return true
	}
	info, err := caddy.GetModule("http.handlers." + named.Handler)
	return err != nil || maySignIn(info, raw)
}

// maySignIn looks at one handler. One of Caddy's own does it if it is there for that, or is told to by the
// name of the placeholder. Any other might.
func maySignIn(info caddy.ModuleInfo, config []byte) bool {
	for _, sign := range []string{`"authentication"`, `"invoke"`, userPlaceholder} {
		if bytes.Contains(config, []byte(sign)) {
			return true
		}
	}
	switch id := string(info.ID); {
	case id == "http.handlers.authentication", id == "http.handlers.invoke":
		return true
	case strings.HasPrefix(id, "http.handlers.deployment_"):
		return false // who has a token is not signed in
	}
	of := reflect.TypeOf(info.New())
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return !strings.HasPrefix(of.PkgPath(), "github.com/caddyserver/caddy/v2/")
}
