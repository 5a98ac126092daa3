/**
 * Settings of a Salt 3006 master, minion or salt-api that brine has no use for. They may stand in a configuration (an `/etc/salt/master`
 * loads as it is) and are listed once as ignored. Names only; those that brine uses are in `schema.ts` (a keeps the lists apart).
 */
const UNUSED = `
  acceptance_wait_time_max add_proxymodule_to_opts aggregate allow_minion_key_revoke always_verify_signature api_logfile api_pidfile
  append_domain append_minionid_config_dirs auth_events auth_mode auth_safemode auth_timeout auth_tries autoload_dynamic_modules
  autosign_timeout azurefs backup_mode batch_safe_limit batch_safe_size
  beacons_before_connect bootstrap_delay cache cache_jobs cache_sreqs cachedir caller_floscript clean_dynamic_modules cli_summary
  client_acl client_acl_verify cloud cluster_id cluster_masters cluster_mode cluster_peers cluster_pki_dir cluster_port cluster_secret
  color color_theme con_cache conf_file config_dir context cython_enable decrypt_pillar decrypt_pillar_default
  decrypt_pillar_delimiter decrypt_pillar_renderers default_top delta_proxy_parallel_startup deploy_scripts detect_mode
  detect_remote_minions disable_grains disable_returners disabled_requisites disk_cache django_auth_path django_auth_settings docker
  drop_messages_signature_fail dummy_pub dummy_publisher eauth_acl_module eauth_tokens enable_fqdns_grains enable_gpu_grains
  enable_lspci enable_ssh_minions enable_zip_modules encryption_algorithm enforce_mine_cache engines engines_dirs env_order environment
  etcd event_listen_queue event_listen_queue_max_seconds event_match_type event_publisher_niceness event_publisher_pub_hwm event_return
  event_return_blacklist event_return_niceness event_return_queue event_return_queue_max_seconds event_return_whitelist
  events_without_resp ext_job_cache ext_pillar ext_pillar_first extension_modules extmod_blacklist extmod_whitelist features
  file_buffer_size file_ignore_glob file_ignore_regex file_recv file_recv_max_size fileserver_backend
  fileserver_followsymlinks fileserver_ignoresymlinks fileserver_interval fileserver_limit_traversal fileserver_list_cache_time
  fileserver_update_niceness fileserver_verify_config fips_mode fqdns_fallback_grains git_pillar_base git_pillar_branch git_pillar_env
  git_pillar_fallback git_pillar_global_lock git_pillar_includes git_pillar_insecure_auth git_pillar_passphrase git_pillar_password
  git_pillar_privkey git_pillar_provider git_pillar_pubkey git_pillar_refspecs git_pillar_root git_pillar_ssl_verify
  git_pillar_update_interval git_pillar_user git_pillar_verify_config gitfs_base gitfs_disable_saltenv_mapping gitfs_env_blacklist
  gitfs_env_whitelist gitfs_fallback gitfs_global_lock gitfs_insecure_auth gitfs_mountpoint gitfs_passphrase gitfs_password
  gitfs_privkey gitfs_provider gitfs_pubkey gitfs_ref_types gitfs_refspecs gitfs_remotes gitfs_root gitfs_saltenv
  gitfs_saltenv_blacklist gitfs_saltenv_whitelist gitfs_ssl_verify gitfs_update_interval gitfs_user gpg_cache gpg_cache_backend
  gpg_cache_ttl gpg_decrypt_must_succeed gpg_keydir grains_blacklist grains_cache grains_cache_expiration grains_deep_merge grains_dirs
  grains_refresh_pre_exec halite hash_type hgfs_base hgfs_branch_method hgfs_env_blacklist hgfs_env_whitelist
  hgfs_mountpoint hgfs_remotes hgfs_root hgfs_saltenv_blacklist hgfs_saltenv_whitelist hgfs_update_interval http_backend
  http_connect_timeout http_max_body http_request_timeout idem interface ioflo_console_logdir ioflo_period ioflo_realtime ioflo_verbose
  ipc_mode ipc_write_buffer ipc_write_timeout ipv6 jinja_env jinja_lstrip_blocks jinja_sls_env jinja_trim_blocks job_cache
  job_cache_store_endtime keep_acl_in_token key_cache key_logfile key_pass keysize ldap local log_datefmt log_datefmt_console
  log_datefmt_logfile log_file log_fmt_console log_fmt_jid log_fmt_logfile log_granular_levels log_level_logfile log_rotate_backup_count
  log_rotate_max_bytes maintenance_floscript maintenance_interval maintenance_niceness master_active_list master_alive_interval
  master_floscript master_id master_job_cache master_port master_pubkey_signature
  master_roots master_shuffle master_sign_key_name master_sign_pubkey master_stats master_stats_event_iter master_tops master_tops_first
  master_tries master_uri_format master_use_pubkey_signature max_minions max_open_files memcache_debug
  memcache_expire_seconds memcache_full_cleanup memcache_max_items metadata_server_grains
  mine_return_job minion_data_cache minion_data_cache_events minion_floscript minion_id_caching minion_id_lowercase
  minion_id_remove_domain minion_jid_queue_hwm minion_pillar_cache minion_restart_command minion_sign_messages minionfs_blacklist
  minionfs_env minionfs_mountpoint minionfs_update_interval minionfs_whitelist module_dirs module_executors modules_max_memory
  multiprocessing mworker_niceness mworker_queue_niceness mysql netapi_allow_raw_shell netapi_disable_clients no_parse
  on_demand_ext_pillar open_mode optimization_order order_masters output output_file outputter_dirs pass_gnupghome pass_strict_fetch
  pass_variable_prefix password peer peer_run permissive_acl permissive_pki_access pidfile pillar_cache pillar_cache_backend
  pillar_cache_ttl pillar_includes_override_sls pillar_opts pillar_raise_on_missing 
  pillar_version pillarenv_from_saltenv ping_interval ping_on_rotate pki_dir plugin_dirs
  postgres preserve_minion_cache private_key_passphrase providers proxy proxy_always_alive
  proxy_deep_merge_pillar_in_opts proxy_keep_alive proxy_keep_alive_interval proxy_merge_grains_in_module proxy_merge_pillar_in_opts
  proxy_mines_pillar pub_hwm pub_ret pub_server_niceness publish_port publish_session publish_signing_algorithm publisher_acl
  python2_bin python3_bin queue_dirs raet_alt_port raet_clear_remote_masters raet_clear_remotes raet_lane_bufcnt raet_main raet_mutable
  raet_port raet_road_bufcnt random_reauth_delay range_server reactor_niceness
  reactor_refresh_interval reactor_worker_hwm reactor_worker_threads recon_randomize rejected_retry render_dirs renderer
  renderer_blacklist renderer_whitelist reproducible_pyzip req_channels request_channel_timeout request_channel_tries
  request_server_aes_session request_server_ttl require_minion_sign_messages rest_timeout rest_tornado rest_wsgi restart_on_error
  ret_port retry_dns retry_dns_count return_retry_timer return_retry_timer_max return_retry_tries returner returner_dirs root_dir
  roots_update_interval roster roster_defaults roster_file rosters rotate_aes_key runner_dirs runner_returns s3fs_update_interval
  salt_event_pub_hwm sdb search search_index_interval serial show_jid show_timeout sign_pub_messages signing_algorithm
  skip_grains slsutil smtp snapper_states snapper_states_config sock_dir sock_pool_size source_address source_interface_name
  source_publish_port source_ret_port spm_build_dir spm_build_exclude spm_cache_dir spm_conf_file spm_db spm_default_include
  spm_formula_path spm_logfile spm_node_type spm_pillar_path spm_reactor_path spm_repos_config spm_repos_dup spm_share_dir
  sqlite_queue_dir ssh_config_file ssh_ext_alternatives ssh_identities_only ssh_list_nodegroups ssh_log_file ssh_merge_pillar
  ssh_minion_opts ssh_passwd ssh_port ssh_pre_flight ssh_priv ssh_priv_passwd ssh_run_pre_flight ssh_scan_ports ssh_scan_timeout
  ssh_sudo ssh_sudo_user ssh_timeout ssh_update_roster ssh_use_home_key ssh_user ssl state_aggregate
  state_auto_order state_compress_ids state_max_parallel state_output state_output_diff state_output_pct state_output_profile
  state_queue state_tabular state_top state_top_saltenv state_verbose states_dirs sudo_acl sudo_user svnfs_branches svnfs_env_blacklist
  svnfs_env_whitelist svnfs_mountpoint svnfs_remotes svnfs_root svnfs_saltenv_blacklist svnfs_saltenv_whitelist svnfs_tags svnfs_trunk
  svnfs_update_interval syndic_dir syndic_event_forward_timeout syndic_failover syndic_finger syndic_forward_all_events
  syndic_jid_forward_cache_hwm syndic_log_file syndic_master syndic_master_port syndic_max_event_process_time syndic_pidfile
  syndic_retries syndic_user syndic_wait tcp_authentication_retries tcp_keepalive tcp_keepalive_cnt tcp_keepalive_idle
  tcp_keepalive_intvl tcp_master_pub_port tcp_master_publish_pull tcp_master_pull_port tcp_master_workers tcp_pub_port tcp_pull_port
  tcp_reconnect_backoff thin_exclude_saltexts thin_extra_mods thorium_interval thorium_roots thorium_top thoriumenv token_dir
  token_driver top_file top_file_merging_strategy transport unique_jid update_restart_services update_url use_master_when_local
  use_superseded use_yamlloader_old user username utils_dirs vault venafi verify_env verify_master_pubkey_sign winrepo_branch
  winrepo_cache_expire_max winrepo_cache_expire_min winrepo_cachefile winrepo_dir winrepo_dir_ng winrepo_fallback winrepo_global_lock
  winrepo_insecure_auth winrepo_passphrase winrepo_password winrepo_privkey winrepo_provider winrepo_pubkey winrepo_refspecs
  winrepo_remotes winrepo_remotes_ng winrepo_source_dir winrepo_ssl_verify winrepo_user worker_floscript worker_threads yaml_utf8
  zmq_backlog zmq_filtering zmq_monitor
`

/** These narrow who may do what in Salt. Ignoring one widens access, so each gets a warning of its own. */
const RESTRICTIONS = `
  api_acl client_acl_blacklist cmd_blacklist_glob cmd_whitelist_glob disable_modules netapi_disable_clients publisher_acl_blacklist
  whitelist_modules
`

/** Settings below `rest_cherrypy` that brine has no use for. */
const UNUSED_CHERRYPY = `
  auto_reload debug disable_ssl expire_responses log log_access_file
  log_error_file log_access log_error nofork screen socket_queue_size ssl_chain ssl_crt ssl_key thread_pool
`

function names(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/))
}

const unused = names(UNUSED)
const restrictions = names(RESTRICTIONS)
const unusedCherrypy = names(UNUSED_CHERRYPY)

/** What a name that brine does not use is to Salt. A name with a dot (`mysql.host`) configures one of Salt's own modules. */
export function saltSetting(name: string): 'unused' | 'restriction' | null {
  if (name.startsWith('rest_cherrypy.')) {
    const inner = name.slice('rest_cherrypy.'.length)
    return unusedCherrypy.has(inner) ? 'unused' : null
  }
  return restrictions.has(name) ? 'restriction' : unused.has(name) || /^\w+\.\w/.test(name) ? 'unused' : null
}

export function saltSettingNames(): string[] {
  return [...unused, ...restrictions]
}
