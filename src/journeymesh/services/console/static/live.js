// An open page follows what its viewer may do. htmx listens to /live and asks for the page again when told `changed`;
// here is what becomes of the answer, and what is said about it. Without scripts a page is as it was when it was loaded.

const RELOADED = "journeymesh-reloaded-at";
const news = document.getElementById("news");

function say(what) {
  if (news) news.textContent = what;
}

// The session has ended, or is another one by now: who looks at the page is asked anew. Once, not for ever.
function reload() {
  const last = Number(sessionStorage.getItem(RELOADED) || 0);
  if (Date.now() - last < 30_000) return say("Your session has ended. Load the page again to sign in.");
  sessionStorage.setItem(RELOADED, String(Date.now()));
  location.reload();
}

const live = document.getElementById("live");
live?.addEventListener("ended", reload);
live?.addEventListener("htmx:sse:error", (event) => {
  if (event.detail?.status === 401 || event.detail?.status === 403) reload();
});

document.addEventListener("htmx:before:swap", (event) => {
  const answer = event.detail?.ctx?.response?.raw;
  if (event.target.id !== "main" || !answer) return;
  if (answer.redirected) {
    event.preventDefault();
    reload();
  }
});
document.addEventListener("htmx:after:swap", (event) => {
  if (event.target.id === "main" || event.target.closest?.("#main")) say("What you may see or do has changed: this page was updated.");
});
