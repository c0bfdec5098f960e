// Escape closes the part that was opened around the focus, and gives the focus back to what opens it.

document.addEventListener("keydown", (event) => {
  const opened = event.key === "Escape" && event.target.closest?.("details[open]");
  if (!opened) return;
  opened.open = false;
  opened.querySelector("summary").focus();
  event.preventDefault();
});
