/** What a model is, for whoever named something else. */
export const MODEL_FOLDER_HINT =
  'A model is a Hugging Face folder: config.json, *.safetensors, tokenizer.json. Import makes one of a GGUF file or a llama2.c checkpoint, Download fetches one from the Hub: commands of the editor, and of spinquant in a terminal.';
