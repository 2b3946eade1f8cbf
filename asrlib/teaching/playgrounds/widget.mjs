// The same playground in a notebook: what anywidget asks for.

/**
 * Return anywidget's {render}. The kernel's `options` fill the playground, what is moved comes back as `value`,
 * a sound that was dropped or recorded as `sound`; a `value` or `sound` set in the kernel is shown.
 */
export function widget(mount) {
  return {
    render({ model, el }) {
      const send = (name) => (content) => { model.set(name, content); model.save_changes(); };
      const options = { ...model.get("options"), value: model.get("value"), sound: model.get("sound") };
      const playground = mount(el, options, { onChange: send("value"), onSound: send("sound") });
      const differs = (a, b) => JSON.stringify(a) !== JSON.stringify(b);
      const show = (name) => () => {
        if (differs(model.get(name), playground[name])) playground.set({ [name]: model.get(name) });
      };
      const shows = { "change:value": show("value"), "change:sound": show("sound") };
      for (const [event, listener] of Object.entries(shows)) model.on(event, listener);
      return () => {
        for (const [event, listener] of Object.entries(shows)) model.off(event, listener);
        playground.destroy();
      };
    },
  };
}
