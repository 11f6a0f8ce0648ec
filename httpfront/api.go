package httpfront

import (
	"bytes"
	"encoding/json"

	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront/api"
	"stap-exporter/internal/cpulimit"
)

// Paths of the status API. Package api has its replies.
const (
	apiList       = "/api/v1/scripts"
	apiEventsPath = "/api/v1/events"
)

var apiScripts = []byte(apiList + "/")

// apiRoute returns the route of /api/v1/scripts/REST. rest belongs to the
// request. A script's name has no slash; an action follows the first one.
func (s *Server) apiRoute(rest []byte) route {
	name, action, found := bytes.Cut(rest, []byte("/"))
	if !found {
		return route{get: func(ctx *fasthttp.RequestCtx) { s.apiScript(ctx, name) }}
	}
	if act, ok := s.action(string(name), string(action)); ok {
		return route{post: act}
	}
	return route{get: apiNotFound, post: apiNotFound}
}

// apiList sends all scripts.
func (s *Server) apiList(ctx *fasthttp.RequestCtx) {
	reply := api.ScriptList{Scripts: []api.Script{}}
	osPIDs := s.osPIDs() // may wait for a scan, so before the permit
	defer cpulimit.Acquire()()
	for _, st := range s.cfg.Scripts.Statuses() {
		reply.Scripts = append(reply.Scripts, api.NewScript(st, s.runtimeOf(&st.Script), osPIDs))
	}
	writeJSON(ctx, fasthttp.StatusOK, reply)
}

// apiScript sends the script called name.
func (s *Server) apiScript(ctx *fasthttp.RequestCtx, name []byte) {
	for _, st := range s.cfg.Scripts.Statuses() {
		if st.Script.Name == string(name) {
			writeJSON(ctx, fasthttp.StatusOK, api.NewScriptDetail(st, s.runtimeOf(&st.Script), s.osPIDs()))
			return
		}
	}
	apiNotFound(ctx)
}

func apiNotFound(ctx *fasthttp.RequestCtx) {
	writeJSON(ctx, fasthttp.StatusNotFound, api.Error{Error: "script not found"})
}

// osPIDs scans the processes once, for all scripts of a reply.
func (s *Server) osPIDs() func(leader int) []int {
	if s.cfg.OSPIDs == nil {
		return func(int) []int { return nil }
	}
	return s.cfg.OSPIDs()
}

// apiEvents sends the last events of all scripts.
func (s *Server) apiEvents(ctx *fasthttp.RequestCtx) {
	body, err := json.Marshal(api.EventList{Events: s.cfg.Events()})
	if err != nil {
		panic(err) // a bug: all fields can be marshaled
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
