// What the page remembers, and the bars between its parts.

function splitters(done) {
  const drag = (id, apply) => {
    $(id).addEventListener("pointerdown", (event) => {
      event.preventDefault();
      const move = (e) => {
          apply(e);
          done();
        },
        stop = () => {
          removeEventListener("pointermove", move);
          removeEventListener("pointerup", stop);
        };
      addEventListener("pointermove", move);
      addEventListener("pointerup", stop);
    });
  };
  const main = document.querySelector("main"),
    center = $("center");
  drag("split-left", (e) => main.style.setProperty("--left", `${Math.max(80, e.clientX)}px`));
  drag("split-right", (e) =>
    main.style.setProperty("--right", `${Math.max(200, innerWidth - e.clientX - 5)}px`),
  );
  drag("split-bottom", (e) =>
    center.style.setProperty(
      "--bottom",
      `${Math.min(innerHeight - 240, Math.max(60, innerHeight - e.clientY))}px`,
    ),
  );
}

function stored(key) {
  try {
    return localStorage.getItem(`symtensor.${key}`);
  } catch {
    return null;
  }
}
function store(key, text) {
  try {
    localStorage.setItem(`symtensor.${key}`, text);
  } catch {
    /* private mode */
  }
}
