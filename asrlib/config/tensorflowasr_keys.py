"""The keys of TensorFlowASR's configurations: what each becomes in asrlib, or why it has no effect.

docs/configuration.md has the same as a table; a test checks that the two agree. Lesson 10.
"""

BLOCKS = "model_config.encoder_blocks"

# TensorFlowASR keys whose value is copied unchanged to an asrlib key
SAME = {
    "speech_config.sample_rate": "features.sample_rate",
    "speech_config.frame_ms": "features.window_ms",
    "speech_config.stride_ms": "features.hop_ms",
    "speech_config.num_feature_bins": "features.mels",
    "speech_config.preemphasis": "features.preemphasis",
    "speech_config.normalize_signal": "features.normalize_signal",
    "decoder_config.target_vocab_size": "tokenizer.vocabulary",
    "decoder_config.vocab_size": "tokenizer.vocabulary",
    "decoder_config.max_subword_length": "tokenizer.max_piece_length",
    "decoder_config.max_token_length": "tokenizer.max_piece_length",
    "decoder_config.beam_width": "decoding.beam_width",
    "decoder_config.norm_score": "decoding.norm_score",
    "model_config.name": "name",
    "model_config.encoder_alpha": "encoder.alpha",
    "model_config.prediction_label_encode_mode": "prediction.encoding",
    "model_config.prediction_embed_dim": "prediction.embed_dim",
    "model_config.prediction_embed_dropout": "prediction.dropout",
    "model_config.prediction_num_rnns": "prediction.layers",
    "model_config.prediction_rnn_units": "prediction.units",
    "model_config.prediction_rnn_type": "prediction.rnn",
    "model_config.prediction_layer_norm": "prediction.layer_norm",
    "model_config.prediction_projection_units": "prediction.projection",
    "model_config.joint_dim": "joint.dim",
    "model_config.joint_activation": "joint.activation",
    "model_config.joint_mode": "joint.mode",
    "model_config.prejoint_encoder_linear": "joint.encoder_linear",
    "model_config.prejoint_prediction_linear": "joint.prediction_linear",
    "model_config.postjoint_linear": "joint.post_linear",
    "learning_config.augmentations.after.time_masking.num_masks": "augment.time_masks",
    "learning_config.augmentations.after.time_masking.mask_factor": "augment.time_width",
    "learning_config.augmentations.after.time_masking.p_upperbound": "augment.time_fraction",
    "learning_config.augmentations.after.freq_masking.num_masks": "augment.freq_masks",
    "learning_config.augmentations.after.freq_masking.mask_factor": "augment.freq_width",
    "learning_config.optimizer_config.warmup_steps": "training.warmup_steps",
    "learning_config.optimizer_config.epsilon": "training.eps",
    "learning_config.learning_rate_config.warmup_steps": "training.warmup_steps",
    "learning_config.learning_rate_config.max_lr": "training.max_lr",
    "learning_config.running_config.batch_size": "training.batch_utterances",
    "learning_config.running_config.num_epochs": "training.epochs",
    "learning_config.running_config.log_interval_steps": "training.log_every",
    "learning_config.running_config.save_interval_steps": "training.checkpoint_every",
    "learning_config.running_config.eval_interval_steps": "training.evaluate_every",
}

# TensorFlowASR's key of a block, and asrlib's
BLOCK_KEYS = {
    "nlayers": "layers",
    "kernel_size": "kernel",
    "filters": "filters",
    "strides": "stride",
    "residual": "residual",
    "activation": "activation",
    "padding": "padding",
}

# TensorFlowASR keys that have an effect, and the asrlib key that they set
HONORED = {
    **SAME,
    "speech_config.feature_type": "features",
    "speech_config.normalize_feature": "features.normalize",
    "speech_config.normalize_per_feature": "features.normalize",
    "decoder_config.type": "tokenizer.kind",
    "decoder_config.vocabulary": "tokenizer.file",
    "decoder_config.reserved_tokens": "tokenizer.reserved",
    "decoder_config.normalization_form": "tokenizer.normalize",
    **{f"{BLOCKS}[].{theirs}": f"encoder.blocks[].{ours}" for theirs, ours in BLOCK_KEYS.items()},
    "learning_config.optimizer_config.beta1": "training.betas[0]",
    "learning_config.optimizer_config.beta_1": "training.betas[0]",
    "learning_config.optimizer_config.beta2": "training.betas[1]",
    "learning_config.optimizer_config.beta_2": "training.betas[1]",
}

_CORPUS = "corpora are given on the command line (--corpus)"
_OUT = "all output goes to --out"
_LEARNER = "it controls TensorFlow's word-piece trainer; asrlib uses sentencepiece"
_BLANK = "blank is always label 0"
_UNKNOWN = "the unknown label is always 1; a transcript that would need it is an error"
_KERNEL = "it selects a Keras kernel and does not change results"
_DASHBOARD = "only loss, learning rate and speed are logged, every training.log_every steps"

# TensorFlowASR keys without effect, and the reason
NO_EFFECT = {
    "decoder_config.blank_at_zero": _BLANK,
    "decoder_config.blank_index": _BLANK,
    "decoder_config.unknown_token": _UNKNOWN,
    "decoder_config.unknown_index": _UNKNOWN,
    "decoder_config.lm_config": "a language model is given when decoding (--lm)",
    "decoder_config.max_unique_chars": _LEARNER,
    "decoder_config.num_iterations": _LEARNER,
    "decoder_config.train_files": "the tokenizer is trained on the transcripts of the corpus",
    "model_config.prediction_rnn_implementation": _KERNEL,
    "model_config.prediction_rnn_unroll": _KERNEL,
    "learning_config.dataset_config.train_paths": _CORPUS,
    "learning_config.dataset_config.eval_paths": _CORPUS,
    "learning_config.dataset_config.test_paths": _CORPUS,
    "learning_config.dataset_config.tfrecords_dir": _CORPUS,
    **{
        f"learning_config.{split}_dataset_config.{key}": reason
        for split in ("train", "eval", "test")
        for key, reason in {
            "enabled": _CORPUS,
            "stage": _CORPUS,
            "data_paths": _CORPUS,
            "tfrecords_dir": _CORPUS,
            "metadata": "the maximum lengths are computed from the corpus",
            "shuffle": "the train split is always shuffled as a whole; the others never are",
            "buffer_size": "the train split is always shuffled as a whole; the others never are",
            "cache": "audio is kept in memory as long as it fits",
            "drop_remainder": "no utterance is dropped from an epoch",
        }.items()
    },
    "learning_config.running_config.outdir": _OUT,
    "learning_config.running_config.checkpoint.filepath": _OUT,
    "learning_config.running_config.checkpoint.save_best_only": (
        "the best weights and the last checkpoint are always kept"
    ),
    "learning_config.running_config.checkpoint.save_weights_only": (
        "the optimizer state is always saved with the weights"
    ),
    "learning_config.running_config.checkpoint.save_freq": "training.checkpoint_every counts steps",
    "learning_config.running_config.checkpoint.options.experimental_enable_async_checkpoint": (
        "training waits until a checkpoint is complete"
    ),
    "learning_config.running_config.backup_and_restore.backup_dir": f"{_OUT}; --resume continues from there",
    "learning_config.running_config.tensorboard.log_dir": _OUT,
    "learning_config.running_config.tensorboard.write_graph": _DASHBOARD,
    "learning_config.running_config.tensorboard.write_images": _DASHBOARD,
    "learning_config.running_config.tensorboard.update_freq": _DASHBOARD,
    "learning_config.running_config.tensorboard.profile_batch": _DASHBOARD,
}

# keys that the code of 2023 no longer has: a file with one of them is of 2021
OLD = (
    "speech_config.normalize_per_feature",
    "decoder_config.blank_at_zero",
    "decoder_config.target_vocab_size",
    "decoder_config.max_subword_length",
    "model_config.prediction_embed_dropout",
    "learning_config.augmentations",
    "learning_config.dataset_config",
    "learning_config.optimizer_config.warmup_steps",
    "learning_config.optimizer_config.beta1",
    "learning_config.optimizer_config.beta2",
)
